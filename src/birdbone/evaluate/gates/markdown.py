"""A verdict as Markdown, as a pull request shows it."""

from __future__ import annotations

from collections.abc import Sequence

from birdbone.evaluate.config import GateRule
from birdbone.evaluate.gates.verdicts import Finding, Verdict
from birdbone.evaluate.gates.wording import change_words, figure_words, interval_words

_COLUMNS = ("rule", "outcome", "effect [95 %]", "adjusted p", "detectable", "items", "reason")


def verdict_markdown(verdict: Verdict, *, title: str, recommendations: Sequence[str] = ()) -> str:
    """Return a heading with the outcome, a table with a row a finding, and what is recommended.

    Args:
        title: what was judged.
        recommendations: one line each.
    """
    lines = [f"## {_cell(title)}: {verdict.outcome}", "", _row(_COLUMNS), _row(["---"] * len(_COLUMNS))]
    lines += [_row(_cells(finding)) for finding in verdict.findings]
    if recommendations:
        lines += ["", "Recommended:", "", *(f"- {_cell(line)}" for line in recommendations)]
    return "\n".join(lines) + "\n"


def effect_of(finding: Finding) -> str:
    """Return the figure of a finding with its interval; `not measured` where there is none."""
    if finding.figure is None:
        return "not measured"
    low, high = finding.low, finding.high
    if isinstance(finding.rule, GateRule):
        ends = "" if low is None or high is None else f" [{low:.5g} to {high:.5g}]"
        return f"{finding.figure:.5g}{ends}"
    ends = "" if low is None or high is None else f" {interval_words(finding.rule, low, high)}"
    return f"{figure_words(finding.rule, finding.figure)}{ends}"


def detectable_of(finding: Finding) -> str:
    """Return the least change that can be shown; `-` where that was not reckoned."""
    if finding.detectable is None or isinstance(finding.rule, GateRule):
        return "-"
    return change_words(finding.rule, finding.detectable)


def _cells(finding: Finding) -> list[str]:
    return [
        finding.name,
        f"**{finding.outcome}**" if finding.outcome != "pass" else finding.outcome,
        effect_of(finding),
        "-" if finding.adjusted_p_value is None else f"{finding.adjusted_p_value:.2g}",
        detectable_of(finding),
        "-" if finding.num_items is None else f"{finding.num_items:,}",
        finding.reason,
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
