"""A heat-map of linears: layers across, kinds down, a few steps of shade, each cell with its number in words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from birdbone.pipeline.report.linears import LinearGrid
from birdbone.pipeline.report.svg import Attributes, drawing, element, text

_CELL, _ROW, _LETTER, _TOP = 20.0, 24.0, 7.2, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shades:
    """Steps of shade: `bounds` part the values, so there is one class and one name more than bounds."""

    bounds: tuple[float, ...]
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __call__(self, value: float) -> str:
        """Return the class of a value; a value on a bound belongs above it."""
        return self.classes[sum(value >= bound for bound in self.bounds)]


def rising_shades(values: tuple[float, ...], words: Callable[[float], str]) -> Shades:
    """Return up to six even steps from the least to the largest value; one where all read alike."""
    low, high = min(values), max(values)
    if words(low) == words(high):
        return Shades(bounds=(), classes=("q3",), names=(words(low),))
    bounds = tuple(low + (high - low) * index / 6 for index in range(1, 6))
    edges = (low, *bounds, high)
    names = tuple(f"{words(a)} to {words(b)}" for a, b in itertools.pairwise(edges))
    return Shades(bounds=bounds, classes=tuple(f"q{index}" for index in range(6)), names=names)


def log_shades(values: tuple[float, ...], words: Callable[[float], str]) -> Shades:
    """Return up to six steps of equal factors from the least value above zero to the largest; zero is in the first."""
    above = tuple(value for value in values if value > 0)
    low, high = min(above, default=0.0), max(above, default=0.0)
    if not above or words(low) == words(high):
        return rising_shades(values, words)
    bounds = tuple(low * (high / low) ** (index / 6) for index in range(1, 6))
    names = tuple(f"{words(a)} to {words(b)}" for a, b in itertools.pairwise((min(*values, low), *bounds, high)))
    return Shades(bounds=bounds, classes=tuple(f"q{index}" for index in range(6)), names=names)


def balanced_shades(values: tuple[float, ...]) -> Shades:
    """Return seven steps on either side of 1 by equal factors, as wide as the farthest value needs."""
    reach = max([abs(math.log(value)) for value in values if value > 0], default=0.0)
    reach = max(reach, math.log(1.05))
    bounds = tuple(math.exp(reach * (2 * index - 7) / 7) for index in range(1, 7))
    named = [f"{a:.2f} to {b:.2f}" for a, b in itertools.pairwise(bounds)]
    names = (f"under {bounds[0]:.2f}", *named, f"over {bounds[-1]:.2f}")
    return Shades(bounds=bounds, classes=tuple(f"d{index}" for index in range(7)), names=names)


def heat_map(
    grid: LinearGrid, shades: Shades, *, label: str, words: Callable[[float], str], what: str = "kinds of linear"
) -> Markup:
    """Return the map; an empty place is drawn as an outline. `what` says what its rows are."""
    left = 12 + _LETTER * max(len(kind) for kind in grid.kinds)
    every = 1 if len(grid.layers) <= 12 else 5
    parts = [text(left, 11, "layer", "axis")]
    for column, layer in enumerate(grid.layers):
        if layer % every == 0:
            parts.append(text(left + (column + 0.5) * _CELL, _TOP - 5, str(layer), "tick middle"))
    for row, kind in enumerate(grid.kinds):
        parts.append(text(left - 8, _TOP + (row + 0.65) * _ROW, kind, "tick end"))
        for column, layer in enumerate(grid.layers):
            name = f"layer {layer}, {kind}"
            place = (left + column * _CELL, _TOP + row * _ROW)
            parts.append(_cell(*place, grid.values[row][column], shades, name=name, words=words))
    size = {"width": left + _CELL * len(grid.layers) + 8, "height": _TOP + _ROW * len(grid.kinds) + 6}
    description = f"{len(grid.kinds)} {what} in {len(grid.layers)} layers, {_range(grid, words)}."
    return drawing(label, description, *parts, **size)


def _cell(
    x: float, y: float, value: float | None, shades: Shades, *, name: str, words: Callable[[float], str]
) -> Markup:
    css = "empty" if value is None else shades(value)
    told = f"{name}: {'none' if value is None else words(value)}"
    attributes: Attributes = {
        "x": x + 1,
        "y": y + 1,
        "width": _CELL - 2,
        "height": _ROW - 2,
        "rx": 2,
        "class": f"cell {css}",
    }
    return element("rect", attributes, element("title", {}, told))


def _range(grid: LinearGrid, words: Callable[[float], str]) -> str:
    values = grid.present
    return f"from {words(min(values))} to {words(max(values))}" if values else "no values"
