"""Heat-maps with words: clusters by figures, and one clustering's clusters by another's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from birdbone.pipeline.report.svg import Attributes, drawing, element, text

_CELL, _ROW, _LETTER = 26.0, 22.0, 7.0

DEVIATIONS = (-1.5, -0.9, -0.3, 0.3, 0.9, 1.5)
"""Bounds of the seven shades of a deviation."""

SHARES = (1e-9, 0.2, 0.4, 0.6, 0.8)
"""Bounds of the six shades of a share."""


def deviation_class(value: float) -> str:
    """Return the shade of a deviation from the mean of all units, in standard deviations."""
    return f"d{sum(value >= bound for bound in DEVIATIONS)}"


def share_class(value: float) -> str:
    """Return the shade of a share."""
    return f"q{sum(value >= bound for bound in SHARES)}"


def matrix(
    value_RC: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
    shade: Callable[[float], str],
    words: Callable[[float], str],
) -> Markup:
    """Return a heat-map; names of columns stand upright, each cell says its value."""
    left = 12 + _LETTER * max(len(name) for name in rows)
    top = 14 + _LETTER * max(len(name) for name in columns)
    parts = [_column_name(left + (place + 0.5) * _CELL, top - 6, name) for place, name in enumerate(columns)]
    for row, name in enumerate(rows):
        y = top + row * _ROW
        parts.append(text(left - 8, y + 0.68 * _ROW, name, "tick end"))
        for column, other in enumerate(columns):
            told = f"{name}, {other}: {words(float(value_RC[row, column]))}"
            parts.append(_cell(left + column * _CELL, y, shade(float(value_RC[row, column])), told))
    size = {"width": left + _CELL * len(columns) + 10, "height": top + _ROW * len(rows) + 6}
    return drawing(label, f"{len(rows)} rows and {len(columns)} columns.", *parts, **size)


def _column_name(x: float, y: float, name: str) -> Markup:
    turned = {"transform": f"translate({x + 4:.1f} {y:.1f}) rotate(-90)", "class": "tick"}
    return element("text", turned, name)


def _cell(x: float, y: float, css: str, told: str) -> Markup:
    attributes: Attributes = {
        "x": x + 1,
        "y": y + 1,
        "width": _CELL - 2,
        "height": _ROW - 2,
        "rx": 2,
        "class": f"cell {css}",
    }
    return element("rect", attributes, element("title", {}, told))
