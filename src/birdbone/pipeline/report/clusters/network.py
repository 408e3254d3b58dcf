"""Clusters as a graph: nodes as large as their clusters, lines between those that fire together. Shapes: G clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from birdbone.pipeline.report.clusters.marks import mark_class
from birdbone.pipeline.report.svg import Attributes, drawing, element, text

LEAST_DRAWN = 0.01
"""A weaker tie is no line."""

_SIZE, _REACH = 420.0, 150.0


def network(
    tie_GG: NDArray[np.float64],
    correlation_GG: NDArray[np.float64],
    sizes: Sequence[int],
    *,
    names: Sequence[str],
    numbers: Sequence[int],
    label: str,
) -> Markup:
    """Return the graph; a line is as wide as its tie is strong, and broken where the mean correlation is negative.

    Args:
        tie_GG, correlation_GG: from `cluster_ties` and `cluster_correlations`.
        numbers: which mark each cluster has elsewhere on the page.
    """
    spots = [_spot(place, len(names)) for place in range(len(names))]
    lines = [
        _line(
            spots[one],
            spots[other],
            float(tie_GG[one, other]),
            float(correlation_GG[one, other]),
            names=(names[one], names[other]),
        )
        for other in range(len(names))
        for one in range(other)
        if tie_GG[one, other] >= LEAST_DRAWN
    ]
    largest = max(sizes)
    nodes = [
        _node(spots[place], sizes[place] / largest, numbers[place], _told(names[place], sizes[place], inside))
        for place, inside in enumerate(tie_GG.diagonal())
    ]
    words = [text(x, y + 4, name, "label middle strong") for (x, y), name in zip(spots, names, strict=True)]
    description = f"{len(names)} clusters, {len(lines)} lines."
    return drawing(label, description, *lines, *nodes, *words, width=_SIZE, height=_SIZE)


def _spot(place: int, count: int) -> tuple[float, float]:
    angle = 2 * math.pi * place / count - math.pi / 2
    reach = _REACH if count > 1 else 0.0
    return _SIZE / 2 + reach * math.cos(angle), _SIZE / 2 + reach * math.sin(angle)


def _line(
    one: tuple[float, float], other: tuple[float, float], tie: float, correlation: float, *, names: tuple[str, str]
) -> Markup:
    attributes: Attributes = {
        "x1": one[0],
        "y1": one[1],
        "x2": other[0],
        "y2": other[1],
        "class": "tie against" if correlation < 0 else "tie",
        "stroke-width": 1 + 14 * min(1.0, 3 * tie),
    }
    told = f"{names[0]} and {names[1]}: tie {tie:.3f}, mean correlation {correlation:+.3f}"
    return element("line", attributes, element("title", {}, told))


def _node(spot: tuple[float, float], share: float, number: int, told: str) -> Markup:
    radius = 12 + 26 * math.sqrt(share)
    attributes: Attributes = {"cx": spot[0], "cy": spot[1], "r": radius, "class": f"node {mark_class(number)}"}
    return element("circle", attributes, element("title", {}, told))


def _told(name: str, size: int, inside: float) -> str:
    within = "not measured" if not math.isfinite(inside) else f"{inside:.3f}"
    return f"{name}: {size} units, tie within {within}"
