"""The page about a plan: the front as a picture, the machine, how far predictions were off. One file, no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from birdbone.compress.plan.forecast import Forecast
from birdbone.compress.plan.latency import LatencyModel, TimedFile
from birdbone.compress.plan.loss import JudgedPlan, LossModel
from birdbone.compress.plan.recommend import Budget, size_words
from birdbone.core.pages import page_environment
from birdbone.pipeline.report.heat_map import Shades, rising_shades
from birdbone.pipeline.report.svg import Scale, drawing, element, line, text, ticks

_WIDTH, _HEIGHT = 720.0, 400.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 18.0, 26.0, 48.0
_RISES = (0.0, 0.005, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
_KINDS = {
    "as it is": "the model as it is",
    "bits": "fewer bits",
    "cut": "cut and fewer bits",
    "healed": "cut, healed, fewer bits",
}
"""Kinds of plans, each with a mark of its own."""

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPage:
    """All that the page shows. Rows are in words already, as the terminal tells them."""

    model: str
    budget: Budget
    machine: Rows
    errors: Rows
    front: tuple[Forecast, ...]
    chosen: Forecast
    timed: tuple[TimedFile, ...]
    judged: tuple[JudgedPlan, ...]
    latency: LatencyModel
    loss: LossModel
    outcome: Rows
    settings: Rows


def render_plan_page(page: PlanPage) -> str:
    """Return the page as HTML. The same plan gives the same text."""
    environment = page_environment("birdbone.pipeline.report", {"zip": zip})
    shades = _shades(page.front)
    shown = {kind: words for kind, words in _KINDS.items() if any(_kind(found) == kind for found in page.front)}
    return environment.get_template("plan.html.j2").render(
        page=page,
        picture=front_picture(page.front, page.chosen, page.budget, shades),
        shades=shades,
        kinds=[(words, _legend_mark(kind)) for kind, words in shown.items()],
        rows=[_row(found, is_chosen=found == page.chosen) for found in page.front],
        tiles=_tiles(page.chosen),
        timed=list(zip(page.timed, page.latency.errors.errors, strict=True)),
        judged=list(zip(page.judged, page.loss.perplexity_errors.errors, strict=True)),
    )


def front_picture(front: Sequence[Forecast], chosen: Forecast, budget: Budget, shades: Shades) -> Markup:
    """Return the front: bytes to the right, loss upwards, a shade by time, a shape by kind of plan."""
    x, y = _horizontal(front), _vertical(front)
    parts = [*_axes(x, y), *_limits(x, y, budget)]
    parts += [_point(found, x, y, shades, is_chosen=False) for found in front if found != chosen]
    parts.append(_point(chosen, x, y, shades, is_chosen=True))
    described = "; ".join(_words(found) for found in front[:12])
    label = "Plans by bytes of the file and rise of perplexity"
    return drawing(label, f"Chosen: {_words(chosen)}. {described}", *parts, width=_WIDTH, height=_HEIGHT)


def rise_words(ratio: float) -> str:
    """Return a ratio of perplexities as the rise that it is, such as `+2.5 %`."""
    rise = 100 * (ratio - 1)
    return f"{rise:+.2f} %" if abs(rise) < 10 else f"{rise:+.1f} %"


def interval_of_rise(forecast: Forecast) -> str:
    """Return where about 95 of 100 such predictions lie."""
    ratio = forecast.perplexity_ratio
    return f"{rise_words(ratio.low)} to {rise_words(ratio.high)}"


def _tiles(chosen: Forecast) -> list[tuple[str, str, str]]:
    seconds = chosen.seconds
    return [
        ("File", size_words(chosen.size_bytes), "counted"),
        ("A token", f"{1000 * seconds.value:.2f} ms", f"{1000 * seconds.low:.2f} to {1000 * seconds.high:.2f} ms"),
        ("Perplexity", rise_words(chosen.perplexity_ratio.value), interval_of_rise(chosen)),
    ]


def _row(found: Forecast, *, is_chosen: bool) -> dict[str, str | bool]:
    return {
        "is_chosen": is_chosen,
        "words": found.plan.words,
        "size": size_words(found.size_bytes),
        "milliseconds": f"{1000 * found.seconds.value:.2f}",
        "rise": rise_words(found.perplexity_ratio.value),
        "interval": interval_of_rise(found),
    }


def _kind(found: Forecast) -> str:
    if not found.plan.steps:
        return "as it is"
    if found.plan.heal is not None:
        return "healed"
    return "cut" if found.plan.cuts else "bits"


def _shades(front: Sequence[Forecast]) -> Shades:
    return rising_shades(tuple(1000 * found.seconds.value for found in front), "{:.3g} ms".format)


def _horizontal(front: Sequence[Forecast]) -> Scale:
    sizes = [found.size_bytes / 1e6 for found in front]
    margin = 0.05 * (max(sizes) - min(sizes)) or 0.05 * max(sizes)
    return Scale(low=min(sizes) - margin, high=max(sizes) + margin, begin=_LEFT, end=_WIDTH - _RIGHT)


def _vertical(front: Sequence[Forecast]) -> Scale:
    highest = max((_height(found) for found in front), default=0.1)
    return Scale(low=-0.03, high=max(0.15, 1.06 * highest), begin=_HEIGHT - _BOTTOM, end=_TOP)


def _height(found: Forecast) -> float:
    return _place(found.perplexity_ratio.value - 1)


def _place(rise: float) -> float:
    """Return how far up a rise stands: by its root, so that small rises are told apart."""
    return math.sqrt(max(0.0, rise))


def _axes(x: Scale, y: Scale) -> list[Markup]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [text(_LEFT, 14, "rise of perplexity", "axis"), text((_LEFT + right) / 2, _HEIGHT - 8, "MB", "axis middle")]
    for rise in _thin([rise for rise in _RISES if _place(rise) <= y.high], y):
        parts += [line(_LEFT, y(_place(rise)), right, y(_place(rise)), "grid")]
        parts.append(text(_LEFT - 8, y(_place(rise)) + 4, f"{100 * rise:g} %", "tick end"))
    parts += [text(x(value), bottom + 18, f"{value:g}", "tick middle") for value in ticks(x.low, x.high, 8)]
    return parts


def _thin(rises: Sequence[float], y: Scale) -> list[float]:
    """Return the rises whose labels do not touch."""
    kept: list[float] = []
    for rise in rises:
        if not kept or y(_place(kept[-1])) - y(_place(rise)) >= 18:
            kept.append(rise)
    return kept


def _limits(x: Scale, y: Scale, budget: Budget) -> list[Markup]:
    parts = []
    if budget.max_bytes is not None and x.low < budget.max_bytes / 1e6 < x.high:
        place = x(budget.max_bytes / 1e6)
        parts += [line(place, _TOP, place, _HEIGHT - _BOTTOM, "limit")]
        parts.append(text(place + 4, _TOP + 12, size_words(budget.max_bytes), "tick label"))
    if budget.max_ratio is not None and _place(budget.max_ratio - 1) < y.high:
        place = y(_place(budget.max_ratio - 1))
        parts += [line(_LEFT, place, _WIDTH - _RIGHT, place, "limit")]
        parts.append(text(_WIDTH - _RIGHT - 2, place - 5, rise_words(budget.max_ratio), "tick end label"))
    return parts


def _point(found: Forecast, x: Scale, y: Scale, shades: Shades, *, is_chosen: bool) -> Markup:
    place, height = x(found.size_bytes / 1e6), y(_height(found))
    css = f"plan {shades(1000 * found.seconds.value)}"
    parts = [element("title", {}, _words(found)), _mark(_kind(found), place, height, css)]
    if is_chosen:
        parts.append(element("circle", {"cx": place, "cy": height, "r": 12, "class": "ring"}))
        is_right = place > (_LEFT + _WIDTH - _RIGHT) / 2
        css = "label end" if is_right else "label"
        parts.append(text(place + (-17 if is_right else 17), height - 10, "chosen", css))
    return element("g", {}, *parts)


def _mark(kind: str, x: float, y: float, css: str, size: float = 6.0) -> Markup:
    corners = {
        "as it is": [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
        "cut": [(-0.95, -0.95), (0.95, -0.95), (0.95, 0.95), (-0.95, 0.95)],
        "healed": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    }.get(kind)
    if corners is None:
        return element("circle", {"cx": x, "cy": y, "r": size, "class": css})
    points = " ".join(f"{x + size * dx:.2f},{y + size * dy:.2f}" for dx, dy in corners)
    return element("polygon", {"points": points, "class": css})


def _legend_mark(kind: str) -> Markup:
    attributes: dict[str, str | float | int] = {"viewBox": "0 0 20 20", "width": 20, "height": 20, "class": "key"}
    return element("svg", {**attributes, "aria-hidden": "true"}, _mark(kind, 10, 10, "plan q2"))


def _words(found: Forecast) -> str:
    size, seconds = size_words(found.size_bytes), 1000 * found.seconds.value
    return (
        f"{found.plan.words}: {size}, {rise_words(found.perplexity_ratio.value)} perplexity, {seconds:.2f} ms a token"
    )
