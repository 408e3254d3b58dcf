"""What a step did to each block: its output error against the dense model before and after, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from birdbone.pipeline.report.svg import Scale, drawing, element, line, path, text, ticks

_WIDTH, _HEIGHT = 760.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 16.0, 24.0, 46.0


def block_errors(before: Sequence[float], after: Sequence[float], *, label: str) -> Markup:
    """Return the two lines; a side without values is left out, as where a step was cut off."""
    number = max(len(before), len(after))
    top = max([*before, *after], default=0.0) or 1.0
    x = Scale(low=0, high=max(1, number - 1), begin=_LEFT + 8, end=_WIDTH - _RIGHT)
    y = Scale(low=0, high=1.08 * top, begin=_HEIGHT - _BOTTOM, end=_TOP)
    sides = {"before": before, "after": after}
    lines = [part for css, values in sides.items() for part in _series(x, y, values, css)]
    means = [f"mean {name} {sum(values) / len(values):.3g}" for name, values in sides.items() if values]
    return drawing(label, "; ".join(means) + ".", *_axes(x, y, number), *lines, width=_WIDTH, height=_HEIGHT)


def _axes(x: Scale, y: Scale, number: int) -> list[Markup]:
    parts = [text(_LEFT, 12, "relative squared error of the block's output", "axis")]
    for value in ticks(y.low, y.high, 4):
        parts += [line(_LEFT, y(value), _WIDTH - _RIGHT, y(value), "grid")]
        parts += [text(_LEFT - 8, y(value) + 4, f"{value:.3g}", "tick end")]
    every = max(1, -(-number // 16))
    parts += [text(x(i), _HEIGHT - _BOTTOM + 18, str(i), "tick middle") for i in range(0, number, every)]
    return [*parts, text(_WIDTH / 2, _HEIGHT - 8, "layer", "axis middle")]


def _series(x: Scale, y: Scale, values: Sequence[float], css: str) -> list[Markup]:
    if not values:
        return []
    points = [(x(layer), y(value)) for layer, value in enumerate(values)]
    return [path(points, f"series {css}"), *(_dot(*point, css) for point in points)]


def _dot(x: float, y: float, css: str) -> Markup:
    if css == "after":
        return element("circle", {"cx": x, "cy": y, "r": 3, "class": f"dot {css}"})
    return element("rect", {"x": x - 3, "y": y - 3, "width": 6, "height": 6, "class": f"dot {css}"})
