"""Pages of the leaderboard and of a comparison: one self-contained file each, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from birdbone.core.pages import page_environment, page_script
from birdbone.evaluate.benchmarks.comparison import MARGIN, BenchmarkComparison
from birdbone.evaluate.benchmarks.standing import standing_words
from birdbone.evaluate.history import wording
from birdbone.evaluate.history.board import Board
from birdbone.evaluate.statistics.retention import Retention

_WIDTH, _PAD = 260.0, 20.0
_MIN_REACH = 0.05
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)
_MAX_TICKS_A_SIDE = 3

Kind = Literal["good", "bad", "unsure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One benchmark, as it is drawn and said. Places are in pixels of the drawing."""

    benchmark: str
    kind: Kind
    """On which side of 0 the interval of the difference lies."""
    low_x: float
    high_x: float
    value_x: float
    points: str
    baseline: float
    candidate: float
    flips: str
    p_value: str
    kept: str
    """Empty where the baseline says nothing."""
    no_worse: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedCandidate:
    """A candidate with what was found on each benchmark."""

    name: str
    comparisons: Sequence[BenchmarkComparison]


def render_board(board: Board) -> str:
    """Return the leaderboard as HTML. The same board gives the same text."""
    return _render("board.html.j2", has_script=True, board=board)


def render_comparison(baseline: str, candidates: Sequence[ComparedCandidate]) -> str:
    """Return candidates beside a baseline as HTML: paired differences with their intervals, all on one scale."""
    found = [row for candidate in candidates for row in candidate.comparisons]
    reach = max((_MIN_REACH, *(max(abs(row.difference.low), abs(row.difference.high)) for row in found)))
    names = ", ".join(candidate.name for candidate in candidates)
    plan = {
        "title": f"{names} beside {baseline}",
        "baseline": baseline,
        "margin": MARGIN,
        "width": _number(_WIDTH),
        "zero_x": _place(0.0, reach),
        "margin_x": _place(-min(MARGIN, reach), reach),
        "ticks": [{"x": _place(value, reach), "words": _tick_words(value)} for value in _ticks(reach)],
        "candidates": [
            {"name": candidate.name, "rows": [_row(row, reach) for row in candidate.comparisons]}
            for candidate in candidates
        ],
    }
    return _render("comparison.html.j2", has_script=False, plan=plan)


def _render(template: str, *, has_script: bool, **values: Any) -> str:
    environment = page_environment(
        "birdbone.evaluate.history",
        {
            "percent": wording.percent_words,
            "points": wording.points_words,
            "interval": wording.interval_words,
            "moment": wording.moment_words,
            "code": wording.code_words,
            "machine": wording.machine_words,
            "short": wording.short_digest,
            "standing": standing_words,
            "place": lambda share: _number(100 * share),
        },
    )
    script, source = page_script(environment, "sort.js") if has_script else ("", Markup("'none'"))
    return environment.get_template(template).render(**values, script=script, script_source=source)


def _row(row: BenchmarkComparison, reach: float) -> ComparisonRow:
    change, kept = row.difference, row.retention
    kind: Kind = "good" if change.low > 0 else "bad" if change.high < 0 else "unsure"
    return ComparisonRow(
        benchmark=row.benchmark,
        kind=kind,
        low_x=_place(change.low, reach),
        high_x=_place(change.high, reach),
        value_x=_place(change.value, reach),
        points=f"{100 * change.value:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]",
        baseline=row.baseline,
        candidate=row.candidate,
        flips="graded" if row.flips is None else f"-{row.flips.lost} +{row.flips.gained} of {row.flips.num_items:,}",
        p_value=f"{row.adjusted_p_value:.2g}",
        kept=f"{100 * kept.value:.1f} % [{100 * kept.low:.1f}, {100 * kept.high:.1f}]"
        if isinstance(kept, Retention)
        else "",
        no_worse=row.no_worse,
    )


def _ticks(reach: float) -> list[float]:
    """Return round differences, 0 among them, that fit on the scale."""
    step = next((step for step in _STEPS if reach / step <= _MAX_TICKS_A_SIDE), _STEPS[-1])
    count = int(reach / step + 1e-9)
    return [number * step for number in range(-count, count + 1)]


def _tick_words(value: float) -> str:
    return "0" if value == 0 else f"{100 * value:+.0f}"


def _place(difference: float, reach: float) -> float:
    return round(_WIDTH / 2 + (_WIDTH / 2 - _PAD) * difference / reach, 2)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
