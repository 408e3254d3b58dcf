"""The healing curve: perplexity after each wave, the last good state, and the limit of the stop-loss."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from birdbone.core import Measurement
from birdbone.pipeline.report.svg import Scale, drawing, element, line, mark, path, text, ticks
from birdbone.pipeline.report.waves import Wave
from birdbone.pipeline.report.wording import change_words, figure_words

_WIDTH, _HEIGHT = 760.0, 360.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 96.0, 24.0, 46.0
_MAX_LABELS = 12


def healing_curve(dense: Measurement, waves: Sequence[Wave]) -> Markup:
    """Return the curve. The whisker of a wave is the paired 95 % interval of its ratio, at the dense model's scale."""
    shown = [wave for wave in waves if wave.perplexity is not None]
    last = max([wave.number for wave in waves], default=1)
    x = Scale(low=-0.3, high=last + 0.5, begin=_LEFT, end=_WIDTH - _RIGHT)
    y = _vertical(dense, waves)
    parts = [*_axes(x, y, dense, last), *_steps(x, y, waves), _trunk(x, y, dense, shown)]
    for wave in shown:
        parts += _wave(x, y, dense, wave, is_labelled=len(shown) <= _MAX_LABELS)
    parts.append(_point("dense", x(0), y(dense.value), figure=dense, words=f"dense model: {figure_words(dense)}"))
    return drawing("Perplexity after each wave", _description(dense, shown), *parts, width=_WIDTH, height=_HEIGHT)


def _vertical(dense: Measurement, waves: Sequence[Wave]) -> Scale:
    values = [dense.value]
    for wave in waves:
        values += [wave.perplexity.value] if wave.perplexity else []
        values += list(_whisker(dense, wave) or ())
        values += [value for value in (wave.limit, wave.perplexity_before_regrowth) if value is not None]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.01 * high
    return Scale(low=low - margin, high=high + margin, begin=_HEIGHT - _BOTTOM, end=_TOP)


def _axes(x: Scale, y: Scale, dense: Measurement, last: int) -> list[Markup]:
    right = _WIDTH - _RIGHT
    parts = [text(_LEFT, 12, "perplexity", "axis"), text(_WIDTH - 2, 12, "against dense", "axis end")]
    for value in ticks(y.low, y.high):
        parts += [line(_LEFT, y(value), right, y(value), "grid")]
        parts += [text(_LEFT - 8, y(value) + 4, f"{value:.5g}", "tick end")]
        parts += [text(right + 6, y(value) + 4, f"{100 * (value / dense.value - 1):+.1f} %".replace("-", "−"), "tick")]
    every = max(1, -(-last // 20))
    for number in range(0, last + 1, every):
        parts.append(text(x(number), _HEIGHT - _BOTTOM + 18, "dense" if number == 0 else str(number), "tick middle"))
    parts.append(text((_LEFT + right) / 2, _HEIGHT - 8, "wave", "axis middle"))
    return parts


def _steps(x: Scale, y: Scale, waves: Sequence[Wave]) -> list[Markup]:
    """Return the two stepped lines that each wave was held against."""
    good = [(wave.number, wave.last_good.value) for wave in waves if wave.last_good is not None]
    limits = [(wave.number, wave.limit) for wave in waves if wave.limit is not None]
    return [path(_stairs(x, y, points), css) for points, css in ((good, "last-good"), (limits, "limit")) if points]


def _stairs(x: Scale, y: Scale, points: list[tuple[int, float]]) -> list[tuple[float, float]]:
    return [(x(number + side), y(value)) for number, value in points for side in (-0.5, 0.5)]


def _trunk(x: Scale, y: Scale, dense: Measurement, waves: Sequence[Wave]) -> Markup:
    """Return the line from state to state: each wave goes on from the one before it."""
    points = [(x(0), y(dense.value))]
    points += [(x(wave.number), y(wave.perplexity.value)) for wave in waves if wave.perplexity]
    return path(points, "trunk")


def _wave(x: Scale, y: Scale, dense: Measurement, wave: Wave, *, is_labelled: bool) -> list[Markup]:
    if wave.perplexity is None:
        return []
    place, value = x(wave.number), wave.perplexity.value
    parts = []
    if (ends := _whisker(dense, wave)) is not None:
        low, high = y(ends[0]), y(ends[1])
        parts = [line(place, low, place, high, "whisker")]
        parts += [line(place - 4, end, place + 4, end, "whisker") for end in (low, high)]
    if wave.perplexity_before_regrowth is not None:
        parts += _regrowth(place, y(wave.perplexity_before_regrowth), wave)
    change = change_words(wave.ratio) or wave.reason
    words = f"wave {wave.number}, {wave.fate}: {figure_words(wave.perplexity)} ({change})"
    parts.append(_point(wave.fate, place, y(value), figure=wave.perplexity, words=words))
    if is_labelled:
        parts.append(text(place + 9, y(value) - 8, figure_words(wave.perplexity), "label"))
    return parts


def _regrowth(x: float, y: float, wave: Wave) -> list[Markup]:
    words = f"wave {wave.number} before regrowth: {wave.perplexity_before_regrowth:.2f}"
    return [element("g", {}, element("title", {}, words), mark("regrown", x, y))]


def _point(kind: str, x: float, y: float, *, figure: Measurement, words: str) -> Markup:
    attributes = {"data-name": figure.name, "data-step": figure.step, "data-value": repr(figure.value)}
    attributes |= {"data-artefact": figure.artefact, "data-fate": kind}
    return element("g", attributes, element("title", {}, words), mark(kind, x, y))


def _whisker(dense: Measurement, wave: Wave) -> tuple[float, float] | None:
    ratio = wave.ratio
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    return dense.value * ratio.low, dense.value * ratio.high


def _description(dense: Measurement, waves: Sequence[Wave]) -> str:
    told = [f"wave {wave.number} {figure_words(wave.perplexity)}, {wave.fate}" for wave in waves]
    return "; ".join([f"Dense model {figure_words(dense)}", *told]) + "."
