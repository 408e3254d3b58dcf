"""What healing did to each block: its output error against the dense model before and after, layer by layer."""

from __future__ import annotations

from markupsafe import Markup

from birdbone.pipeline.report.svg import Scale, drawing, element, line, path, text, ticks
from birdbone.pipeline.report.waves import Wave

_WIDTH, _HEIGHT = 760.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 16.0, 24.0, 46.0


def block_errors(wave: Wave) -> Markup:
    """Return the two lines of a wave; the one before healing is missing where a cut-off wave kept only the other."""
    number = max(len(wave.errors_before), len(wave.errors_after))
    top = max(wave.errors_before + wave.errors_after) or 1.0
    x = Scale(low=0, high=max(1, number - 1), begin=_LEFT + 8, end=_WIDTH - _RIGHT)
    y = Scale(low=0, high=1.08 * top, begin=_HEIGHT - _BOTTOM, end=_TOP)
    parts = [*_axes(x, y, number)]
    for values, css in ((wave.errors_before, "before"), (wave.errors_after, "after")):
        parts += _series(x, y, values, css)
    words = f"Wave {wave.number}: error of each block before and after healing"
    return drawing(words, _description(wave), *parts, width=_WIDTH, height=_HEIGHT)


def _axes(x: Scale, y: Scale, number: int) -> list[Markup]:
    parts = [text(_LEFT, 12, "relative squared error of the block's output", "axis")]
    for value in ticks(y.low, y.high, 4):
        parts += [line(_LEFT, y(value), _WIDTH - _RIGHT, y(value), "grid")]
        parts += [text(_LEFT - 8, y(value) + 4, f"{value:.3g}", "tick end")]
    every = 1 if number <= 16 else 5
    parts += [text(x(i), _HEIGHT - _BOTTOM + 18, str(i), "tick middle") for i in range(0, number, every)]
    return [*parts, text(_WIDTH / 2, _HEIGHT - 8, "layer", "axis middle")]


def _series(x: Scale, y: Scale, values: tuple[float, ...], css: str) -> list[Markup]:
    if not values:
        return []
    points = [(x(layer), y(value)) for layer, value in enumerate(values)]
    return [path(points, f"series {css}"), *(_dot(*point, css) for point in points)]


def _dot(x: float, y: float, css: str) -> Markup:
    if css == "after":
        return element("circle", {"cx": x, "cy": y, "r": 3, "class": f"dot {css}"})
    return element("rect", {"x": x - 3, "y": y - 3, "width": 6, "height": 6, "class": f"dot {css}"})


def _description(wave: Wave) -> str:
    told = []
    for values, name in ((wave.errors_before, "before"), (wave.errors_after, "after")):
        told += [f"mean {name} healing {sum(values) / len(values):.3g}"] if values else []
    return "; ".join(told) + "."
