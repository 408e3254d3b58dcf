"""What became of clusters as bands from left to right, as wide as the units that they carry (an alluvial picture)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from birdbone.compress.clusters.matching import Evolution
from birdbone.pipeline.report.clusters.marks import mark_class
from birdbone.pipeline.report.svg import Attributes, drawing, element, text

_WIDTH, _HEIGHT, _BAR, _GAP, _TOP = 640.0, 360.0, 14.0, 10.0, 26.0
_NAME = 110.0


def flow_picture(evolution: Evolution, *, label: str, sides: tuple[str, str]) -> Markup:
    """Return the picture; `sides` name what stands left and right."""
    shared_AB = evolution.shared_AB
    left, right = _stack(shared_AB.sum(axis=1)), _stack(shared_AB.sum(axis=0))
    from_y, to_y = [top for top, _ in left], [top for top, _ in right]
    scale, bands = _scale(shared_AB), []
    for a, b in np.argwhere(shared_AB > 0).tolist():
        width = float(shared_AB[a, b]) * scale
        told = f"{evolution.names_A[a]} to {evolution.names_B[b]}: {shared_AB[a, b]} units"
        bands.append(_band(from_y[a], to_y[b], width, a, told))
        from_y[a], to_y[b] = from_y[a] + width, to_y[b] + width
    names_A = [f"{name}{' ends' if name in evolution.deaths else ''}" for name in evolution.names_A]
    names_B = [f"{name}{' is new' if name in evolution.births else ''}" for name in evolution.names_B]
    heads = [text(_NAME, 14, sides[0], "axis end"), text(_WIDTH - _NAME, 14, sides[1], "axis")]
    bars = [*_bars(left, names_A, is_left=True), *_bars(right, names_B, is_left=False)]
    height = max(top + size for top, size in (*left, *right)) + 12
    return drawing(label, f"{int(shared_AB.sum())} units.", *heads, *bands, *bars, width=_WIDTH, height=height)


def _scale(shared_AB: NDArray[np.int64]) -> float:
    return (_HEIGHT - _TOP) / max(1, int(shared_AB.sum()))


def _stack(sizes: NDArray[np.int64]) -> list[tuple[float, float]]:
    """Return top and height of each bar, below one another."""
    scale, top, found = (_HEIGHT - _TOP) / max(1, int(sizes.sum())), _TOP, []
    for size in sizes.tolist():
        found.append((top, size * scale))
        top += size * scale + _GAP
    return found


def _bars(stack: Sequence[tuple[float, float]], names: Sequence[str], *, is_left: bool) -> list[Markup]:
    x, word_x, css = (_NAME + 6, _NAME, "tick end") if is_left else (_WIDTH - _NAME - 6 - _BAR, _WIDTH - _NAME, "tick")
    parts = []
    for number, ((top, height), name) in enumerate(zip(stack, names, strict=True)):
        shade = f"bar {mark_class(number)}" if is_left else "bar"
        attributes: Attributes = {"x": x, "y": top, "width": _BAR, "height": max(1.0, height), "class": shade}
        parts += [element("rect", attributes), text(word_x, top + height / 2 + 4, name, css)]
    return parts


def _band(top: float, other_top: float, width: float, number: int, told: str) -> Markup:
    begin, end = _NAME + 6 + _BAR, _WIDTH - _NAME - 6 - _BAR
    middle = (begin + end) / 2
    path = (
        f"M{begin:.1f} {top:.1f}C{middle:.1f} {top:.1f} {middle:.1f} {other_top:.1f} {end:.1f} {other_top:.1f}"
        f"V{other_top + width:.1f}C{middle:.1f} {other_top + width:.1f} {middle:.1f} {top + width:.1f} "
        f"{begin:.1f} {top + width:.1f}z"
    )
    return element("path", {"d": path, "class": f"band {mark_class(number)}"}, element("title", {}, told))
