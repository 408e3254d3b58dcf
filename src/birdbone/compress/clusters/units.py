"""Units that are clustered, and the weights that belong to each. Shapes: U units, M entries (rows or columns).

A neuron owns its row of gate and up and its column of down. A head owns its rows of q and its columns of o, and shares
the rows of k and v with the heads of its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from birdbone.compress.config import UnitKind
from birdbone.compress.errors import UnknownLayerError
from birdbone.models import Architecture, LayerLayout, LinearSlot

Axis = Literal["rows", "columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPart:
    """Rows or columns of one linear and the unit that each belongs to; a shared entry stands once for each owner.

    Attributes:
        role: what the matrix does, such as `gate`; of a fused linear, which of its matrices.
        entry_M: indices of rows or columns of the linear's weight, each unit's own in one run.
        unit_M: the owner of each.
    """

    path: str
    role: str
    axis: Axis
    entry_M: Int[Tensor, " M"]
    unit_M: Int[Tensor, " M"]


def num_units(layer: LayerLayout, architecture: Architecture, units: UnitKind) -> int:
    """Return how many units a layer has; layers of one model may differ."""
    return layer.feed_forward_size if units == "neurons" else _output(layer).in_features // architecture.head_dim


def watched_linear(layer: LayerLayout, units: UnitKind) -> str:
    """Return the path of the linear whose input is what the layer's units put out."""
    return layer.feed_forward[-1].path if units == "neurons" else _output(layer).path


def unit_parts(layer: LayerLayout, architecture: Architecture, units: UnitKind) -> tuple[UnitPart, ...]:
    """Return where the weights of a layer's units lie."""
    if units == "neurons":
        return tuple(part for slot in layer.feed_forward for part in _neuron_parts(slot))
    return tuple(part for slot in layer.attention for part in _head_parts(slot, layer, architecture))


def chosen_layers(architecture: Architecture, indices: Sequence[int]) -> tuple[LayerLayout, ...]:
    """Return the layers of these indices in their order; all of them for none.

    Raises:
        UnknownLayerError: an index that the model does not have.
    """
    for index in indices:
        if not 0 <= index < architecture.num_layers:
            message = f"There is no layer {index}; the last of the {architecture.num_layers} is "
            raise UnknownLayerError(f"{message}{architecture.num_layers - 1}.", layer=index)
    return tuple(layer for layer in architecture.layers if not indices or layer.index in indices)


def share_out(
    value_U: Float[Tensor, " U"], parts: Sequence[UnitPart], *, path: str, num_entries: int
) -> Float[Tensor, " E"]:
    """Return a value for every row or column of a linear: the mean of its owners' values."""
    total_E, owners_E = torch.zeros(num_entries, dtype=torch.float64), torch.zeros(num_entries, dtype=torch.float64)
    for part in parts:
        if part.path == path:
            total_E.index_add_(0, part.entry_M, value_U.double()[part.unit_M])
            owners_E.index_add_(0, part.entry_M, torch.ones(len(part.entry_M), dtype=torch.float64))
    return total_E / owners_E


def gather_in(
    value_E: Float[Tensor, " E"], part: UnitPart, *, num_owned: int, is_shared_out: bool
) -> Float[Tensor, " U"]:
    """Return the sum over each unit's entries of one part.

    Args:
        num_owned: U.
        is_shared_out: whether an entry with several owners counts for each by its share only.
    """
    value_M = value_E.double()[part.entry_M]
    if is_shared_out:
        owners_E = torch.zeros(len(value_E), dtype=torch.float64)
        owners_E.index_add_(0, part.entry_M, torch.ones(len(part.entry_M), dtype=torch.float64))
        value_M = value_M / owners_E[part.entry_M]
    return torch.zeros(num_owned, dtype=torch.float64).index_add_(0, part.unit_M, value_M)


def _output(layer: LayerLayout) -> LinearSlot:
    return next(slot for slot in layer.attention if slot.role == "o")


def _neuron_parts(slot: LinearSlot) -> tuple[UnitPart, ...]:
    if slot.role == "down":
        return (_part(slot, "down", "columns", torch.arange(slot.in_features)),)
    if slot.fused is None:
        return (_part(slot, slot.role, "rows", torch.arange(slot.out_features)),)
    return tuple(_part(slot, name, "rows", torch.tensor(slot.fused.rows(name))) for name in slot.fused.parts)


def _head_parts(slot: LinearSlot, layer: LayerLayout, architecture: Architecture) -> tuple[UnitPart, ...]:
    if slot.role == "o":
        rows = {"o": torch.arange(slot.in_features)}
    elif slot.fused is None:
        rows = {slot.role: torch.arange(slot.out_features)}
    else:
        rows = {name: torch.tensor(slot.fused.rows(name)) for name in slot.fused.parts}
    num_heads = num_units(layer, architecture, "heads")
    axis: Axis = "columns" if slot.role == "o" else "rows"
    return tuple(
        _spread(slot, role, axis, entry_BH=entry_M.reshape(-1, architecture.head_dim), num_heads=num_heads)
        for role, entry_M in rows.items()
    )


def _part(slot: LinearSlot, role: str, axis: Axis, entry_M: Tensor) -> UnitPart:
    return UnitPart(path=slot.path, role=role, axis=axis, entry_M=entry_M, unit_M=torch.arange(len(entry_M)))


def _spread(slot: LinearSlot, role: str, axis: Axis, *, entry_BH: Tensor, num_heads: int) -> UnitPart:
    """Give each head its block B of entries; where there are fewer blocks than heads, a group of heads has one."""
    num_blocks, head_dim = entry_BH.shape
    owned_M = entry_BH.repeat_interleave(num_heads // num_blocks, dim=0).flatten()
    unit_M = torch.arange(num_heads).repeat_interleave(head_dim)
    return UnitPart(path=slot.path, role=role, axis=axis, entry_M=owned_M, unit_M=unit_M)
