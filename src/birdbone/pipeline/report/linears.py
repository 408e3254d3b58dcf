"""A figure for every linear of a model as a grid: layers across, kinds of linear down."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearGrid:
    """One value a linear; a place without a linear, or without a value, holds None."""

    kinds: tuple[str, ...]
    """Kinds of linear, such as `self_attn.q_proj`."""
    layers: tuple[int, ...]
    values: tuple[tuple[float | None, ...], ...]
    """One row a kind, one column a layer."""

    @property
    def present(self) -> tuple[float, ...]:
        """Every value that is there."""
        return tuple(value for row in self.values for value in row if value is not None)


def linear_grid(by_path: Mapping[str, float], *, order: Sequence[str] = ()) -> LinearGrid | None:
    """Return the grid of values by path; None if there are none.

    A path's first whole number is its layer, what follows it the kind: `model.layers.3.mlp.up_proj`. A path without a
    number stands in no layer and is left out, and so is a value that is not finite.

    Args:
        order: kinds that come first, in this order; steps that read masks back from a file lose the model's own.
    """
    places = {_place(path): float(value) for path, value in by_path.items() if math.isfinite(value)}
    places.pop(None, None)
    if not places:
        return None
    found = [place for place in places if place is not None]
    layers = tuple(sorted({layer for layer, _ in found}))
    present = dict.fromkeys(kind for _, kind in sorted(found, key=lambda place: place[0]))
    kinds = tuple(kind for kind in dict.fromkeys((*order, *present)) if kind in present)
    values = tuple(tuple(places.get((layer, kind)) for layer in layers) for kind in kinds)
    return LinearGrid(kinds=kinds, layers=layers, values=values)


def relative_to_kind(grid: LinearGrid) -> LinearGrid:
    """Return each value over the mean of its kind, so that kinds of different scale can be seen side by side.

    A kind whose mean is not above zero has nothing to be relative to, and loses its values.
    """
    rows = []
    for row in grid.values:
        mean = statistics.fmean([value for value in row if value is not None])  # no row is without a value
        rows.append(tuple(None if value is None or mean <= 0 else value / mean for value in row))
    return LinearGrid(kinds=grid.kinds, layers=grid.layers, values=tuple(rows))


def _place(path: str) -> tuple[int, str] | None:
    parts = path.split(".")
    numbered = next((index for index, part in enumerate(parts) if part.isdecimal()), None)
    if numbered is None or numbered + 1 == len(parts):
        return None
    return int(parts[numbered]), ".".join(parts[numbered + 1 :])
