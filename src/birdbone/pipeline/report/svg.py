"""Drawing with words: SVG elements as escaped markup, a linear scale, ticks. Colours come from the page's classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

Attributes = Mapping[str, str | float | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A straight line from values to places: `low` stands at `begin`, `high` at `end`."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        span = self.high - self.low
        share = 0.5 if span == 0 else (value - self.low) / span
        return self.begin + share * (self.end - self.begin)


def element(name: str, attributes: Attributes, *children: str | Markup) -> Markup:
    """Return one element; text and attributes are escaped, markup is taken as it is."""
    written = Markup("").join(Markup(' {}="{}"').format(key, _number(value)) for key, value in attributes.items())
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, inside)


def drawing(label: str, description: str, *children: str | Markup, width: float, height: float) -> Markup:
    """Return an `svg` that says what it shows to those who cannot see it; it scales with its box."""
    view_box = f"0 0 {_number(width)} {_number(height)}"
    attributes: Attributes = {"viewBox": view_box, "role": "img", "width": width, "height": height}
    return element("svg", attributes, element("title", {}, label), element("desc", {}, description), *children)


def text(x: float, y: float, words: str, css: str = "") -> Markup:
    """Return a text; `css` names its classes."""
    return element("text", {"x": x, "y": y, "class": css}, words)


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    """Return a straight line."""
    return element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": css})


def path(points: list[tuple[float, float]], css: str) -> Markup:
    """Return an open line through points."""
    places = " L".join(f"{_number(x)} {_number(y)}" for x, y in points)
    return element("path", {"d": f"M{places}", "class": css})


def mark(kind: str, x: float, y: float, size: float = 5.0) -> Markup:
    """Return the mark of a fate: each kind has a shape of its own, so that it is told apart without colour."""
    match kind:
        case "undone":
            strokes = f"M{_number(x - size)} {_number(y - size)} L{_number(x + size)} {_number(y + size)} "
            strokes += f"M{_number(x - size)} {_number(y + size)} L{_number(x + size)} {_number(y - size)}"
            return element("path", {"d": strokes, "class": "mark undone"})
        case "left out" | "unfinished":
            return _polygon([(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)], x, y, size, css="mark left-out")
        case "set aside":
            return _polygon([(-1, -1), (1, -1), (1, 1), (-1, 1)], x, y, size, css="mark set-aside")
        case "regrown":
            return element("circle", {"cx": x, "cy": y, "r": size * 0.7, "class": "mark before-regrowth"})
        case "dense":
            return _polygon([(0, -1.3), (1.2, 0.9), (-1.2, 0.9)], x, y, size, css="mark dense")
        case _:
            return element("circle", {"cx": x, "cy": y, "r": size, "class": "mark kept"})


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers within [low, high], evenly apart."""
    if high <= low:
        return [low]
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _polygon(corners: list[tuple[float, float]], x: float, y: float, size: float, *, css: str) -> Markup:
    points = " ".join(f"{_number(x + size * dx)},{_number(y + size * dy)}" for dx, dy in corners)
    return element("polygon", {"points": points, "class": css})


def _number(value: str | float | int) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
