"""Describing one decoder layer by looking at its modules: its linears, its heads, its width, its norms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from birdbone.models.absent import AbsentAttention, AbsentFeedForward
from birdbone.models.architecture import (
    FusedRows,
    InputGroup,
    InputGroupName,
    LayerLayout,
    LinearRole,
    LinearSlot,
    NormRole,
)
from birdbone.models.errors import ArchitectureMismatchError
from birdbone.models.families import FamilyTemplate
from birdbone.models.modules import module_at, optional_module, require_module

_GROUPS: dict[InputGroupName, tuple[LinearRole, ...]] = {
    "attention_input": ("q", "k", "v", "qkv"),
    "attention_output": ("o",),
    "feed_forward_input": ("gate", "up", "gate_up"),
    "feed_forward_output": ("down",),
}


def head_dim_of(config: Any) -> int:
    """Return the width of one attention head, the same in all layers."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def describe_layer(model: PreTrainedModel, template: FamilyTemplate, index: int) -> LayerLayout:
    """Return where the parts of layer `index` lie, having checked that they fit each other.

    Raises:
        ArchitectureMismatchError: a module is missing or has another shape (names it).
    """
    path, head_dim = f"{template.root}.layers.{index}", head_dim_of(model.config)
    attention = _slots(model, path, template.attention, is_absent=has_no_attention(model, template, path))
    feed_forward = _slots(model, path, template.feed_forward, is_absent=has_no_feed_forward(model, template, path))
    num_heads, num_kv_heads = (rows // head_dim for rows in _attention_rows(attention))
    attention = tuple(_with_qkv_rows(slot, template, (num_heads, num_kv_heads), head_dim) for slot in attention)
    feed_forward = tuple(_with_gate_up_rows(slot) for slot in feed_forward)
    layout = LayerLayout(
        index=index,
        path=path,
        attention=attention,
        feed_forward=feed_forward,
        norms=dict(_norms(model, template, path)),
        input_groups=tuple(_input_groups(attention + feed_forward)),
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        feed_forward_size=feed_forward[-1].in_features if feed_forward else 0,
        sliding_window=_layer_window(model.config, template, index),
        is_parallel=bool(getattr(model.config, "use_parallel_residual", False)),
    )
    _check_shapes(layout, int(model.config.hidden_size), head_dim)
    _check_heads(model, template, layout)
    return layout


def has_no_attention(model: PreTrainedModel, template: FamilyTemplate, path: str) -> bool:
    """Return whether the attention of the layer at `path` was taken out."""
    return _is_at(model, f"{path}.{template.attention_module}", AbsentAttention)


def has_no_feed_forward(model: PreTrainedModel, template: FamilyTemplate, path: str) -> bool:
    """Return whether the feed-forward of the layer at `path` was taken out."""
    return _is_at(model, f"{path}.{template.feed_forward_module}", AbsentFeedForward)


def _is_at(model: PreTrainedModel, path: str, kind: type[nn.Module]) -> bool:
    return optional_module(model, path) is not None and isinstance(model.get_submodule(path), kind)


def _slots(
    model: PreTrainedModel, path: str, names: Mapping[LinearRole, str], *, is_absent: bool
) -> tuple[LinearSlot, ...]:
    return () if is_absent else tuple(_slot(model, role, f"{path}.{name}") for role, name in names.items())


def _slot(model: PreTrainedModel, role: LinearRole, path: str) -> LinearSlot:
    linear = module_at(model, path, nn.Linear)
    rows, columns = linear.weight.shape
    return LinearSlot(role=role, path=path, out_features=rows, in_features=columns, has_bias=linear.bias is not None)


def _attention_rows(attention: tuple[LinearSlot, ...]) -> tuple[int, int]:
    """Return the rows of the queries, which the output linear reads, and those of the values."""
    slots = {slot.role: slot for slot in attention}
    if not slots:
        return 0, 0
    q_rows = slots["o"].in_features
    return q_rows, slots["v"].out_features if "v" in slots else (slots["qkv"].out_features - q_rows) // 2


def _with_qkv_rows(slot: LinearSlot, template: FamilyTemplate, num_heads: tuple[int, int], head_dim: int) -> LinearSlot:
    if slot.role != "qkv" or template.qkv_order is None:
        return slot
    q_rows, kv_rows = (count * head_dim for count in num_heads)
    num_turns = num_heads[0] if template.qkv_order == "per_head" else 1
    sizes = (q_rows, kv_rows, kv_rows)
    fused = FusedRows(parts=("q", "k", "v"), sizes=sizes, order=template.qkv_order, num_heads=num_turns)
    return replace(slot, fused=fused)


def _with_gate_up_rows(slot: LinearSlot) -> LinearSlot:
    if slot.role != "gate_up":
        return slot
    half = slot.out_features // 2
    return replace(slot, fused=FusedRows(parts=("gate", "up"), sizes=(half, half), order="blocked", num_heads=1))


def _norms(model: PreTrainedModel, template: FamilyTemplate, path: str) -> Iterable[tuple[NormRole, str]]:
    is_attention_absent = has_no_attention(model, template, path)
    for role, name in template.norms.items():
        if is_attention_absent and name.startswith(f"{template.attention_module}."):
            continue
        if not _is_at(model, f"{path}.{name}", nn.Identity):
            yield role, require_module(model, f"{path}.{name}")


def _input_groups(slots: tuple[LinearSlot, ...]) -> Iterable[InputGroup]:
    for name, roles in _GROUPS.items():
        members = [slot for slot in slots if slot.role in roles]
        if members:
            paths = tuple(slot.path for slot in members)
            yield InputGroup(name=name, linears=paths, in_features=members[0].in_features)


def _check_shapes(layout: LayerLayout, hidden: int, head_dim: int) -> None:
    q_rows, kv_rows, width = layout.num_heads * head_dim, layout.num_kv_heads * head_dim, layout.feed_forward_size
    expected: dict[LinearRole, tuple[int, int]] = {
        "q": (q_rows, hidden),
        "k": (kv_rows, hidden),
        "v": (kv_rows, hidden),
        "qkv": (q_rows + 2 * kv_rows, hidden),
        "o": (hidden, q_rows),
        "gate": (width, hidden),
        "up": (width, hidden),
        "gate_up": (2 * width, hidden),
        "down": (hidden, width),
    }
    for slot in layout.linears:
        found = (slot.out_features, slot.in_features)
        if found != expected[slot.role] or 0 in found:
            message = f"{slot.path}.weight should have shape {expected[slot.role]}, it has {found}."
            raise ArchitectureMismatchError(message, path=slot.path)


def _check_heads(model: PreTrainedModel, template: FamilyTemplate, layout: LayerLayout) -> None:
    """Check that each key-value head serves the same number of query heads, and that the module knows how many."""
    if not layout.attention:
        return
    path = f"{layout.path}.{template.attention_module}"
    if layout.num_heads % layout.num_kv_heads:
        message = (
            f"{path} has {layout.num_heads} query heads, which {layout.num_kv_heads} key-value heads cannot share."
        )
        raise ArchitectureMismatchError(message, path=path)
    heads_per_group = layout.num_heads // layout.num_kv_heads
    told = getattr(model.get_submodule(path), "num_key_value_groups", heads_per_group)
    if told != heads_per_group:
        message = f"{path} has {heads_per_group} query heads a key-value head, but it computes with {told}."
        raise ArchitectureMismatchError(message, path=path)


def _layer_window(config: Any, template: FamilyTemplate, index: int) -> int | None:
    if template.uses_layer_types and config.layer_types[index] != "sliding_attention":
        return None
    window = getattr(config, "sliding_window", None)
    return None if window is None else int(window)
