"""The sizes of a model's layers in its configuration: one figure where they agree, one entry a layer where they differ.

The entries have the form of transformers' `per_layer_config`: what a layer has otherwise than the configuration says,
by its index, and `skip` for what it lacks. Beside `skip` stands a size of 0, so that a reader that knows nothing of
`skip` refuses the model instead of filling the gap with random weights.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from birdbone.models.architecture import Architecture, Family, LayerLayout

PER_LAYER_CONFIG = "per_layer_config"
SKIP, ATTENTION, FEED_FORWARD = "skip", "attention", "mlp"
HEADS, KV_HEADS = "num_attention_heads", "num_key_value_heads"

# Elsewhere the width of a head follows from the number of heads, so that number must stay.
_FAMILIES_WITH_HEAD_WIDTH: Collection[Family] = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3")


def feed_forward_key(config: Any) -> str:
    """Return the name that a configuration has for the width of the feed-forward."""
    return "ffn_dim" if hasattr(config, "ffn_dim") else "intermediate_size"


def put_common_sizes(config: Any, architecture: Architecture) -> None:
    """Write the sizes that all layers share into the configuration; those that differ stay as they were."""
    heads = {(layer.num_heads, layer.num_kv_heads) for layer in architecture.layers if layer.attention}
    widths = {layer.feed_forward_size for layer in architecture.layers if layer.feed_forward}
    if len(widths) == 1:
        setattr(config, feed_forward_key(config), widths.pop())
    if len(heads) == 1 and architecture.family in _FAMILIES_WITH_HEAD_WIDTH:
        num_heads, num_kv_heads = heads.pop()
        # transformers refuses any other number, though `head_dim` says all that it needs.
        if config.hidden_size % num_heads == 0:
            config.head_dim = architecture.head_dim
            config.num_attention_heads, config.num_key_value_heads = num_heads, num_kv_heads


def per_layer_entries(config: Any, architecture: Architecture) -> dict[str, dict[str, Any]]:
    """Return the entry of each layer that differs from the configuration, by its index as text; empty if none does."""
    entries = {str(layer.index): _entry(config, layer) for layer in architecture.layers}
    return {index: entry for index, entry in entries.items() if entry}


def _entry(config: Any, layer: LayerLayout) -> dict[str, Any]:
    found = {HEADS: layer.num_heads, KV_HEADS: layer.num_kv_heads, feed_forward_key(config): layer.feed_forward_size}
    if not layer.attention:
        del found[HEADS]
    if not hasattr(config, KV_HEADS):
        del found[KV_HEADS]
    entry: dict[str, Any] = {key: size for key, size in found.items() if size != getattr(config, key)}
    lacking = ((ATTENTION, layer.attention), (FEED_FORWARD, layer.feed_forward))
    skipped = [name for name, linears in lacking if not linears]
    return entry | {SKIP: skipped} if skipped else entry
