"""Units as points in a plane, and in a space that a script turns. Shapes: M units that are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from birdbone.pipeline.report.clusters.marks import mark_class, mark_path
from birdbone.pipeline.report.svg import drawing, element, text

MAX_IN_SPACE = 500
"""Marks of the picture that turns: more would stutter on a phone."""

YAW, PITCH = 0.6, 0.35
"""How the space stands before it is turned, in radians; the script begins there too."""

_SIZE, _PAD = 420.0, 22.0


def scatter(
    place_M2: NDArray[np.float64], number_M: Sequence[int], *, names: Sequence[str], label: str, axes: tuple[str, str]
) -> Markup:
    """Return units in a plane, a mark a unit, and the name of each cluster at the middle of its units.

    Args:
        number_M: the cluster of each unit, an index into `names`.
        axes: what the two directions are; an empty word where a direction means nothing.
    """
    spots_M2 = _fitted(place_M2)
    shapes = [_mark(number, x, y) for number, (x, y) in zip(number_M, spots_M2, strict=True)]
    words = [
        text(*_middle(spots_M2, number_M, number), names[number], "label middle strong")
        for number in sorted(set(number_M))
    ]
    sides = [text(_SIZE / 2, _SIZE - 4, axes[0], "axis middle"), text(4, 14, axes[1], "axis")]
    description = f"{len(number_M)} units in {len(set(number_M))} clusters."
    return drawing(label, description, *shapes, *words, *(side for side in sides), width=_SIZE, height=_SIZE)


def space(place_M3: NDArray[np.float64], number_M: Sequence[int], *, label: str) -> Markup:
    """Return units in three dimensions as seen from a little above; `turn.js` turns them with finger or arrow keys."""
    if len(place_M3) > MAX_IN_SPACE:
        kept = np.linspace(0, len(place_M3) - 1, MAX_IN_SPACE).round().astype(int)
        place_M3, number_M = place_M3[kept], [number_M[place] for place in kept]
    reach = max(float(np.abs(place_M3 - place_M3.mean(axis=0)).max()), 1e-12)
    unit_M3 = (place_M3 - place_M3.mean(axis=0)) / reach
    shapes = [_mark_in_space(number, point) for number, point in zip(number_M, unit_M3, strict=True)]
    picture = drawing(label, f"{len(number_M)} units on three components.", *shapes, width=_SIZE, height=_SIZE)
    return element("div", {"class": "space", "tabindex": 0, "role": "group", "aria-label": label}, picture)


def seen(point: NDArray[np.float64]) -> tuple[float, float]:
    """Return where a point of the cube from -1 to 1 is seen."""
    x, y, z = (float(value) for value in point)
    across, depth = x * math.cos(YAW) + z * math.sin(YAW), z * math.cos(YAW) - x * math.sin(YAW)
    height = y * math.cos(PITCH) - depth * math.sin(PITCH)
    half = _SIZE / 2
    return half + across * half * 0.72, half - height * half * 0.72


def _mark(number: int, x: float, y: float) -> Markup:
    attributes = {"d": mark_path(number), "class": f"unit {mark_class(number)}", "transform": _at(x, y)}
    return element("path", attributes)


def _mark_in_space(number: int, point: NDArray[np.float64]) -> Markup:
    attributes = {
        "d": mark_path(number),
        "class": f"unit {mark_class(number)}",
        "transform": _at(*seen(point)),
        "data-at": " ".join(f"{value:.3f}" for value in point),
    }
    return element("path", attributes)


def _at(x: float, y: float) -> str:
    return f"translate({x:.1f} {y:.1f})"


def _fitted(place_M2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places within the picture; a few units far away do not squeeze all others: they stand at the edge."""
    low, high = np.quantile(place_M2, [0.002, 0.998], axis=0)
    share_M2 = (np.clip(place_M2, low, high) - low) / np.maximum(high - low, 1e-12)
    spots_M2: NDArray[np.float64] = _PAD + share_M2 * (_SIZE - 2 * _PAD)
    spots_M2[:, 1] = _SIZE - spots_M2[:, 1]
    return spots_M2


def _middle(spots_M2: NDArray[np.float64], number_M: Sequence[int], number: int) -> tuple[float, float]:
    own_M2 = spots_M2[np.asarray(number_M) == number]
    x, y = np.median(own_M2, axis=0)
    return float(x), float(y)
