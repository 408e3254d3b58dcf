"""The changed tensors taken together: by layer, by role, and by part of a layer for the picture.

Counts are sums; L2 norms add as squares. Shares, and the norm that L2 is relative to, are of the changed tensors only.
A figure that one tensor of a group lacks, the group lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from birdbone.vault.diff.names import NameDiff
from birdbone.vault.diff.roles import ROLES, Place, Role, layer_of, place_of, role_of
from birdbone.vault.diff.sums import cosine
from birdbone.vault.diff.tensors import TensorDiff, jaccard, rounded

_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeTotals:
    """The changed tensors of a group taken together; what is None could not be compared."""

    num_tensors: int
    num_elements: int
    num_changed: int | None
    num_zeroed: int | None
    num_regrown: int | None
    l2: float | None
    relative_l2: float | None
    cosine: float | None
    mask_jaccard: float | None
    sparsity_before: float | None
    sparsity_after: float | None
    num_requantized: int
    """Tensors whose dtype or number of levels changed."""

    @property
    def share_changed(self) -> float | None:
        """Share of the elements that changed, 0 to 1."""
        return _ratio(self.num_changed, self.num_elements)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDiff(ChangeTotals):
    """The changed tensors of one layer, or a tensor that stands outside the layers."""

    layer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleDiff(ChangeTotals):
    """The changed tensors of one role in the block, in all layers."""

    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A part of one layer in the picture: what changed of it, or None where it is there and the same."""

    layer: int | None
    """None outside the layers."""
    part: str
    totals: ChangeTotals | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGrid:
    """A stack of layers as a picture has it: layers across, parts down in the order of their roles."""

    stack: str
    """What the layers are a list in; empty for the tensors outside them."""
    layers: tuple[int | None, ...]
    parts: tuple[tuple[Role, str], ...]
    cells: tuple[Cell, ...]


def group_by_layer(tensors: Iterable[TensorDiff]) -> list[LayerDiff]:
    """Return the changes layer by layer, the largest relative change first, then by name.

    A layer is the name up to its first number (`model.layers.3`); a tensor outside any layer stands for itself.
    """
    layers = [
        LayerDiff(layer=layer, **_totals(members))
        for layer, members in _gather(tensors, lambda tensor: layer_of(tensor.name)).items()
    ]
    return sorted(layers, key=_by_change)


def group_by_role(tensors: Iterable[TensorDiff]) -> list[RoleDiff]:
    """Return the changes by what the tensors do in their block, in the order of a block."""
    groups = _gather(tensors, lambda tensor: role_of(tensor.name))
    return [RoleDiff(role=role, **_totals(groups[role])) for role in ROLES if role in groups]


def layer_grids(tensors: Iterable[TensorDiff], names: NameDiff) -> list[LayerGrid]:
    """Return a grid a stack of layers, then one of what stands outside; all but removed tensors have a place."""
    changed = {tensor.name: tensor for tensor in tensors}
    places = {name: place_of(name) for name in (*changed, *names.same)}
    stacks = _gather(places, lambda name: places[name].stack)
    return [_grid(stack, members, places, changed) for stack, members in sorted(stacks.items(), key=_outside_last)]


def sum_tensors(tensors: Sequence[TensorDiff]) -> ChangeTotals | None:
    """Return the changes of all `tensors` together; None if there are none."""
    return ChangeTotals(**_totals(tensors)) if tensors else None


def _outside_last(item: tuple[str, Any]) -> tuple[bool, str]:
    return not item[0], item[0]


def _grid(stack: str, names: Sequence[str], places: dict[str, Place], changed: dict[str, TensorDiff]) -> LayerGrid:
    groups = _gather(names, lambda name: (places[name].layer, places[name].part))
    cells = [
        Cell(layer=layer, part=part, totals=sum_tensors([changed[name] for name in members if name in changed]))
        for (layer, part), members in groups.items()
    ]
    parts = {(places[name].role, places[name].part) for name in names}
    layers = {places[name].layer for name in names}
    return LayerGrid(
        stack=stack,
        layers=tuple(sorted(layers, key=lambda layer: -1 if layer is None else layer)),
        parts=tuple(sorted(parts, key=lambda part: (ROLES.index(part[0]), part[1]))),
        cells=tuple(cells),
    )


def _gather(items: Iterable[Any], key: Callable[[Any], _Key]) -> dict[_Key, list[Any]]:
    groups: dict[_Key, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _product(tensor: TensorDiff) -> float | None:
    """Return the inner product of a tensor before and after; of a tensor of zeros it is 0."""
    if tensor.l2_before is None or tensor.l2_after is None:
        return None
    norms = tensor.l2_before * tensor.l2_after
    return norms * tensor.cosine if tensor.cosine is not None else None if norms else 0.0


def _totals(members: Sequence[TensorDiff]) -> dict[str, Any]:
    squares = _total([None if t.l2 is None else t.l2**2 for t in members])
    squares_before = _total([None if t.l2_before is None else t.l2_before**2 for t in members])
    squares_after = _total([None if t.l2_after is None else t.l2_after**2 for t in members])
    num_elements = sum(t.num_elements for t in members)
    zero_before, zero_after = _total([t.num_zero_before for t in members]), _total([t.num_zero_after for t in members])
    num_zeroed = _total([t.num_zeroed for t in members])
    product = _total([_product(t) for t in members])
    is_known = product is not None and squares_before is not None and squares_after is not None
    found = cosine(squares_before, squares_after, product) if is_known else None
    return {
        "num_tensors": len(members),
        "num_elements": num_elements,
        "num_changed": _total([t.num_changed for t in members]),
        "num_zeroed": num_zeroed,
        "num_regrown": _total([t.num_regrown for t in members]),
        "l2": None if squares is None else rounded(math.sqrt(squares)),
        "relative_l2": _ratio(squares, squares_before, power=0.5),
        "cosine": None if found is None else rounded(found),
        "mask_jaccard": jaccard(num_elements, zero_before, zero_after, num_zeroed),
        "sparsity_before": _ratio(zero_before, num_elements),
        "sparsity_after": _ratio(zero_after, num_elements),
        "num_requantized": sum(t.is_requantized for t in members),
    }


def _total(values: Sequence[Any]) -> Any:
    return None if any(value is None for value in values) else sum(values)


def _ratio(part: float | None, whole: float | None, *, power: float = 1.0) -> float | None:
    return None if part is None or not whole else rounded((part / whole) ** power)


def _by_change(layer: LayerDiff) -> tuple[float, str]:
    return (-math.inf if layer.relative_l2 is None else -layer.relative_l2), layer.layer
