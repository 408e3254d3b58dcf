"""The sizes of each layer in a GGUF file, and what stands in for parts that llama.cpp cannot do without.

Most architectures of llama.cpp know one size for all layers. `deci` (NVIDIA's pruned Llamas) has one a layer: it runs
layers without attention, and layers of any feed-forward width. Two cases it does not compute rightly, found by trying:
a first layer without attention (it reads the width of a head there), and attention without a feed-forward (it drops
what the attention gave). There a part of zeros stands in, the smallest possible. A layer with neither does nothing and
is left out of the file.
Source: llama.cpp `src/models/deci.cpp` and `llama-hparams.cpp`; the tests run each case in the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from birdbone.models.gguf.errors import UnsupportedExportError
from birdbone.models.gguf.names import LAYERED_FAMILIES, GgufFamily, family_of, gguf_name

_SMALLEST_WIDTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSize:
    """Query heads, key-value heads and feed-forward width of a layer; 0 for a part that it lacks."""

    num_heads: int
    num_kv_heads: int
    feed_forward_size: int

    @property
    def is_idle(self) -> bool:
        """Whether the layer hands its input on as it came."""
        return self.num_heads == self.feed_forward_size == 0

    @property
    def is_whole(self) -> bool:
        """Whether the layer has both attention and a feed-forward."""
        return self.num_heads > 0 and self.feed_forward_size > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """How the layers of a model stand in the file.

    Attributes:
        family: by which names and under which architecture they are written.
        positions: place in the file by the layer's index in the model; idle layers have none.
        sizes: of each layer as the file says it, in the file's order.
        fillers: tensors of zeros (norms of ones) by their GGUF names, for parts that llama.cpp cannot do without.
        notes: a sentence for each kind of filler.
    """

    family: GgufFamily
    positions: Mapping[int, int]
    sizes: tuple[LayerSize, ...]
    fillers: Mapping[str, Tensor]
    notes: tuple[str, ...]


def sizes_of_config(config: Any) -> tuple[LayerSize, ...]:
    """Return the sizes that the configuration gives every layer."""
    num_kv_heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    size = LayerSize(
        num_heads=int(config.num_attention_heads),
        num_kv_heads=num_kv_heads,
        feed_forward_size=int(config.intermediate_size),
    )
    return (size,) * int(config.num_hidden_layers)


def plan_layers(config: Any, shapes: Mapping[str, tuple[int, ...]], *, head_dim: int) -> LayerPlan:
    """Return how the layers of a model are written, by the shapes of its tensors under their state-dict names.

    Raises:
        UnsupportedExportError: layers differ, or have lost heads, in a family for which llama.cpp has no such form.
    """
    found = _sizes_of_tensors(config, shapes, head_dim)
    kept = [index for index, size in enumerate(found) if not size.is_idle]
    sizes = [found[index] for index in kept]
    notes = [f"Layer {index} does nothing and is left out." for index, size in enumerate(found) if size.is_idle]
    if not sizes:
        raise UnsupportedExportError("No layer of this model does anything, so there is nothing to write.")
    family, fillers = family_of(config.model_type), dict[str, Tensor]()
    has_other_heads = family.has_fixed_heads and sizes[0].num_heads * head_dim != config.hidden_size
    if len(set(sizes)) > 1 or not sizes[0].is_whole or (has_other_heads and config.model_type in LAYERED_FAMILIES):
        family = _layered_family(config.model_type)
        notes += _notes_on(sizes)
        fillers = dict(_fillers(sizes, int(config.hidden_size), head_dim))
        sizes = [_filled(size, is_first=position == 0) for position, size in enumerate(sizes)]
    elif has_other_heads:
        raise UnsupportedExportError(
            f"llama.cpp runs {family.arch} only with all of its heads; {sizes[0].num_heads} of them are left.",
            hint="Keep the heads of this family, and take out neurons or layers instead.",
        )
    return LayerPlan(
        family=family,
        positions={index: position for position, index in enumerate(kept)},
        sizes=tuple(sizes),
        fillers=fillers,
        notes=tuple(notes),
    )


def _layered_family(model_type: str) -> GgufFamily:
    if model_type in LAYERED_FAMILIES:
        return LAYERED_FAMILIES[model_type]
    raise UnsupportedExportError(
        f"The layers of this {model_type} model differ; llama.cpp runs such a model only of the types "
        f"{', '.join(LAYERED_FAMILIES)}.",
        hint="Make the cut uniform: the same number of heads and of neurons in every layer.",
        model_type=model_type,
    )


def _filled(size: LayerSize, *, is_first: bool) -> LayerSize:
    if is_first and size.num_heads == 0:
        return replace(size, num_heads=1, num_kv_heads=1)
    return replace(size, feed_forward_size=size.feed_forward_size or _SMALLEST_WIDTH)


def _fillers(sizes: Sequence[LayerSize], hidden: int, head_dim: int) -> Iterator[tuple[str, Tensor]]:
    for position, size in enumerate(sizes):
        if position == 0 and size.num_heads == 0:
            yield from _zeros(position, "attn", {"q": head_dim, "k": head_dim, "v": head_dim}, "output", hidden)
        if size.feed_forward_size == 0:
            yield from _zeros(position, "ffn", dict.fromkeys(("gate", "up"), _SMALLEST_WIDTH), "down", hidden)


def _zeros(position: int, block: str, rows: Mapping[str, int], last: str, hidden: int) -> Iterator[tuple[str, Tensor]]:
    prefix = f"blk.{position}.{block}_"
    yield f"{prefix}norm.weight", torch.ones(hidden)
    for part, num_rows in rows.items():
        yield f"{prefix}{part}.weight", torch.zeros(num_rows, hidden)
    yield f"{prefix}{last}.weight", torch.zeros(hidden, next(iter(rows.values())))


def _notes_on(sizes: Sequence[LayerSize]) -> list[str]:
    notes = []
    if sizes[0].num_heads == 0:
        notes.append("llama.cpp cannot begin with a layer without attention: a head of zeros stands there.")
    if any(size.feed_forward_size == 0 for size in sizes):
        notes.append(f"llama.cpp cannot do without a feed-forward: {_SMALLEST_WIDTH} neurons of zeros stand there.")
    return notes


def _sizes_of_tensors(config: Any, shapes: Mapping[str, tuple[int, ...]], head_dim: int) -> list[LayerSize]:
    """Return the sizes by what attention's output and the down projection read, and by the rows of the values."""
    family = family_of(config.model_type)
    weights = {gguf_name(name, family): shape for name, shape in shapes.items() if len(shape) == 2}

    def size_of(index: int) -> LayerSize:
        q_rows = weights.get(f"blk.{index}.attn_output.weight", (0, 0))[1]
        fused = weights.get(f"blk.{index}.attn_qkv.weight")
        kv_rows = weights.get(f"blk.{index}.attn_v.weight", (0, 0))[0] if fused is None else (fused[0] - q_rows) // 2
        width = weights.get(f"blk.{index}.ffn_down.weight", (0, 0))[1]
        return LayerSize(num_heads=q_rows // head_dim, num_kv_heads=kv_rows // head_dim, feed_forward_size=width)

    return [size_of(index) for index in range(int(config.num_hidden_layers))]
