"""Building a model whose layers differ: the configuration's model first, cut to the sizes of `per_layer_config`.

transformers knows the key and its own model code refuses it, so the key is taken out before transformers sees the
configuration. The form of the entries is told in `layer_sizes`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel
from transformers.initialization import no_init_weights

from birdbone.models.architecture import Architecture, LayerLayout
from birdbone.models.errors import CorruptCheckpointError
from birdbone.models.inspection import describe_architecture
from birdbone.models.layer_sizes import (
    ATTENTION,
    FEED_FORWARD,
    HEADS,
    KV_HEADS,
    PER_LAYER_CONFIG,
    SKIP,
    feed_forward_key,
)
from birdbone.models.surgery import LayerKeep, shrink_model

_INDEX, _ONE_FILE = "model.safetensors.index.json", "model.safetensors"


def read_layered_config(folder: Path) -> dict[str, Any] | None:
    """Return the values of a folder's config.json if its layers differ, or None."""
    values: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return values if values.get(PER_LAYER_CONFIG) else None


def build_layered(values: Mapping[str, Any], *, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Return the model that a configuration with `per_layer_config` describes; its weights are not set.

    Raises:
        CorruptCheckpointError: an entry that no layer can have.
    """
    plain = {key: value for key, value in values.items() if key != PER_LAYER_CONFIG}
    config = CONFIG_MAPPING[plain["model_type"]].from_dict(plain)
    with no_init_weights():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)
    architecture = describe_architecture(model)
    entries = {int(index): entry for index, entry in values[PER_LAYER_CONFIG].items()}
    keeps = {index: _keep(entry, config, architecture, index) for index, entry in entries.items()}
    shrink_model(model, architecture, keeps)
    return model


def load_layered(
    values: Mapping[str, Any], *, folder: Path, file: Path | None, dtype: torch.dtype
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Return the model with its weights from `file`, or from the folder's, and what did not fit.

    The second has the form of transformers' loading report: `missing_keys`, `unexpected_keys`, `mismatched_keys`.

    Raises:
        CorruptCheckpointError: an entry that no layer can have, or no weights.
    """
    model = build_layered(values, dtype=dtype)
    state = load_file(file) if file is not None else _folder_state(folder)
    expected = dict(model.named_parameters())  # a tied head is named once
    mismatched = [
        (name, state[name].shape, parameter.shape)
        for name, parameter in expected.items()
        if name in state and state[name].shape != parameter.shape
    ]
    report = {
        "missing_keys": set(expected) - set(state),
        "unexpected_keys": set(state) - set(model.state_dict()),
        "mismatched_keys": set(mismatched),
    }
    if not any(report.values()):
        model.load_state_dict(state, strict=False)
    return model, report


def _folder_state(folder: Path) -> dict[str, torch.Tensor]:
    index = folder / _INDEX
    files = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.is_file() else [_ONE_FILE]
    if not (folder / files[0]).is_file():
        raise CorruptCheckpointError(f"{folder} holds no {files[0]}.")
    return {name: tensor for file in files for name, tensor in load_file(folder / file).items()}


def _keep(entry: Mapping[str, Any], config: Any, architecture: Architecture, index: int) -> LayerKeep:
    """Return the first neurons and heads of a layer, as many as its entry names."""
    if not 0 <= index < architecture.num_layers:
        raise CorruptCheckpointError(f"{PER_LAYER_CONFIG} names layer {index} of {architecture.num_layers}.")
    layout, skipped = architecture.layers[index], entry.get(SKIP, ())
    known = {SKIP, HEADS, KV_HEADS, feed_forward_key(config)}
    if set(entry) - known or not set(skipped) <= {ATTENTION, FEED_FORWARD}:
        raise CorruptCheckpointError(f"{PER_LAYER_CONFIG} of layer {index} is not understood: {dict(entry)}.")
    width = entry.get(feed_forward_key(config), layout.feed_forward_size)
    neurons = () if FEED_FORWARD in skipped else _first(width, layout.feed_forward_size, index)
    return LayerKeep(neurons=neurons, query_heads=() if ATTENTION in skipped else _query_heads(entry, config, layout))


def _query_heads(entry: Mapping[str, Any], config: Any, layout: LayerLayout) -> tuple[int, ...]:
    num_heads = entry.get(HEADS, layout.num_heads)
    num_groups = entry.get(KV_HEADS, layout.num_kv_heads) if hasattr(config, KV_HEADS) else num_heads
    groups = _first(num_groups, layout.num_kv_heads, layout.index)
    full = layout.num_heads // layout.num_kv_heads
    members = _first(num_heads // num_groups, full, layout.index)
    if num_heads % num_groups:
        raise CorruptCheckpointError(f"{num_groups} key-value heads cannot share {num_heads} heads.")
    return tuple(group * full + member for group in groups for member in members)


def _first(count: object, available: int, index: int) -> tuple[int, ...]:
    if not isinstance(count, int) or not 0 < count <= available:
        message = f"{PER_LAYER_CONFIG} of layer {index} has a size of {count!r}; 1 to {available} was expected."
        raise CorruptCheckpointError(message)
    return tuple(range(count))
