"""Two runs side by side. A difference is given only where the two figures mean the same thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from birdbone.cli import words
from birdbone.cli.output import new_table
from birdbone.cli.results import ResultRow, result_rows
from birdbone.core import Measurement
from birdbone.pipeline.service import RunView

_BY_TEXT = frozenset({"perplexity", "perplexity_gguf", "perplexity_ratio"})
_BY_MACHINE = frozenset({"decode_rate", "decode_speedup"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFigure:
    """One figure of two runs. `difference` is b - a, in the figure's unit; None where `why_not` says why."""

    label: str
    name: str
    a: Measurement | None
    b: Measurement | None
    difference: float | None
    why_not: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        rows = {
            side: None if row is None else row.model_dump(mode="json") for side, row in (("a", self.a), ("b", self.b))
        }
        return {"label": self.label, "name": self.name, **rows, "difference": self.difference, "why_not": self.why_not}


def compare(a: RunView, b: RunView) -> list[ComparedFigure]:
    """Return the figures of what two runs exported, in the order of the result table."""
    pairs = zip(result_rows(a), result_rows(b), strict=True)
    return [_compare_row(a, b, row_a, row_b) for row_a, row_b in pairs if row_a.has_after]


def comparison_table(figures: list[ComparedFigure], *, a: str, b: str) -> Table:
    """Return the comparison as a table."""
    rows = [(figure.label, words.figure(figure.a), words.figure(figure.b), _difference(figure)) for figure in figures]
    return new_table(("figure", a, b, "difference"), rows)


def _compare_row(a: RunView, b: RunView, row_a: ResultRow, row_b: ResultRow) -> ComparedFigure:
    why_not = _why_not(a, b, row_a, row_b)
    both = row_a.after is not None and row_b.after is not None
    difference = row_b.after.value - row_a.after.value if both and not why_not else None  # type: ignore[union-attr]
    return ComparedFigure(
        label=row_a.label, name=row_a.name, a=row_a.after, b=row_b.after, difference=difference, why_not=why_not
    )


def _why_not(a: RunView, b: RunView, row_a: ResultRow, row_b: ResultRow) -> str:
    if row_a.after is None or row_b.after is None:
        return words.NOT_MEASURED
    if row_a.after.basis != row_b.after.basis:
        return f"one is {row_a.after.basis}, the other {row_b.after.basis}"
    if row_a.name in _BY_TEXT and a.artefacts.get("windows") != b.artefacts.get("windows"):
        return "taken on other text"
    if row_a.name in _BY_MACHINE and row_a.after.method != row_b.after.method:
        return "taken with another engine or other threads"
    if row_a.name in _BY_MACHINE and a.run.environment.get("cpu") != b.run.environment.get("cpu"):
        return "taken on another machine"
    return ""


def _difference(figure: ComparedFigure) -> str:
    if figure.difference is None or figure.a is None:
        return figure.why_not
    if figure.name in ("share_gone", "sparsity", "stored_zeros"):
        return f"{100 * figure.difference:+.2f} points"
    scale = 1e6 if figure.a.unit in ("byte", "byte/token") else 1.0
    share = "" if not figure.a.value else f" ({100 * figure.difference / figure.a.value:+.1f} %)"
    return f"{figure.difference / scale:+,.4g}{share}"
