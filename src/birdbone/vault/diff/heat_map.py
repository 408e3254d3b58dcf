"""The layer-by-layer picture: layers across, parts down, each cell shaded and with its figure as text.

The steps of shade are fixed, so that two pages can be held side by side. One hue from light to dark needs no colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from birdbone.vault.diff.groups import Cell, ChangeTotals, LayerGrid

_CELL, _ROW, _LETTER, _TOP = 27.0, 22.0, 7.2, 30.0
_BOUNDS = (0.001, 0.01, 0.03, 0.1, 0.3)

SHADES = (
    ("same", "unchanged"),
    ("q0", "under 0.1 %"),
    ("q1", "0.1 to 1 %"),
    ("q2", "1 to 3 %"),
    ("q3", "3 to 10 %"),
    ("q4", "10 to 30 %"),
    ("q5", "30 % and over"),
    ("unknown", "not comparable"),
)
"""Class and meaning of each shade."""

Attributes = Mapping[str, str | float]
Measure = Callable[[ChangeTotals], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    measure: Measure
    words: Callable[[float | None], str]
    left: float


def shade_of(share: float | None) -> str:
    """Return the class of a share; a value on a bound belongs above it."""
    return "unknown" if share is None else f"q{sum(share >= bound for bound in _BOUNDS)}"


def heat_map(grid: LayerGrid, measure: Measure, *, label: str, words: Callable[[float | None], str]) -> Markup:
    """Return the picture of one stack of layers as an `svg`; a part that a layer does not have is left empty."""
    drawing = _Drawing(measure=measure, words=words, left=14 + _LETTER * max(len(part) for _, part in grid.parts))
    columns = {layer: index for index, layer in enumerate(grid.layers)}
    rows = {part: index for index, (_, part) in enumerate(grid.parts)}
    parts = [_text(drawing.left, 11, "layer" if grid.stack else "outside the layers", "axis")]
    parts += [
        _text(drawing.left + (column + 0.5) * _CELL, _TOP - 5, str(layer), "tick middle")
        for layer, column in columns.items()
        if layer is not None
    ]
    parts += [_text(drawing.left - 8, _TOP + (row + 0.68) * _ROW, part, "tick end") for part, row in rows.items()]
    parts += [_cell(drawing, cell, column=columns[cell.layer], row=rows[cell.part]) for cell in grid.cells]
    width, height = drawing.left + max(_CELL * len(columns), 110) + 8, _TOP + _ROW * len(rows) + 6
    size: Attributes = {
        "viewBox": f"0 0 {_place(width)} {_place(height)}",
        "width": width,
        "height": height,
        "role": "img",
    }
    described = f"{len(rows)} parts in {len(columns)} layers; the same stands below as numbers."
    return _element("svg", size, _element("title", {}, label), _element("desc", {}, described), *parts)


def _cell(drawing: _Drawing, cell: Cell, *, column: int, row: int) -> Markup:
    value = None if cell.totals is None else drawing.measure(cell.totals)
    css = "same" if cell.totals is None else shade_of(value)
    x, y = drawing.left + column * _CELL, _TOP + row * _ROW
    place = cell.part if cell.layer is None else f"layer {cell.layer}, {cell.part}"
    told = "unchanged" if cell.totals is None else "not comparable" if value is None else drawing.words(value)
    frame: Attributes = {
        "x": x + 0.5,
        "y": y + 0.5,
        "width": _CELL - 1,
        "height": _ROW - 1,
        "rx": 2,
        "class": f"cell {css}",
    }
    return _element(
        "g",
        {},
        _element("title", {}, f"{place}: {told}"),
        _element("rect", frame),
        _text(x + _CELL / 2, y + 0.66 * _ROW, _short(value, is_changed=cell.totals is not None), f"in middle on-{css}"),
    )


def _short(share: float | None, *, is_changed: bool) -> str:
    """Return the percentage in at most three signs."""
    if share is None:
        return "?" if is_changed else ""
    percent = 100 * share
    if percent < 0.05:
        return "0" if percent == 0 else "<.1"
    return f"{percent:.1f}" if percent < 9.95 else f"{min(percent, 999):.0f}"


def _text(x: float, y: float, words: str, css: str) -> Markup:
    return _element("text", {"x": x, "y": y, "class": css}, words)


def _element(name: str, attributes: Attributes, *children: str | Markup) -> Markup:
    written = Markup("").join(Markup(' {}="{}"').format(key, _place(value)) for key, value in attributes.items())
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, inside)


def _place(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
