"""What a gate says: one finding a rule, and the verdict over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from birdbone.evaluate.config import GateRule, Stage
from birdbone.evaluate.gates.rules import ComparisonRule

Outcome = Literal["pass", "warn", "fail"]
Floor = Stage | Literal["cumulative"]
"""Which floor a rule belongs to: that of a stage, or the one against the first model."""

_SEVERITY: tuple[Outcome, ...] = ("pass", "warn", "fail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule found. What is None was not measured, or has no meaning for a rule of this kind."""

    rule: GateRule | ComparisonRule
    """The rule."""
    outcome: Outcome
    """Its outcome."""
    reason: str
    """Why, in plain words with the figures."""
    figure: float | None
    """What was compared with the limit; absent where nothing could be. The effect, where two models were compared."""
    name: str = ""
    """The rule's name; with that of the benchmark where a rule speaks of several."""
    floor: Floor | None = None
    """The floor that the rule belongs to; None for the gate itself."""
    low: float | None = None
    """Lower end of the figure's 95 % interval."""
    high: float | None = None
    """Upper end."""
    num_items: int | None = None
    """Items, windows or tokens behind the figure."""
    p_value: float | None = None
    """How likely evidence as strong against the candidate would be, if it lay just at the limit."""
    adjusted_p_value: float | None = None
    """The same, adjusted over all rules of the set that have one."""
    detectable: float | None = None
    """The least change of the figure that so many items show in four of five cases."""
    is_undecided: bool = False
    """Whether the interval leaves both open: that the limit is kept, and that it is not."""

    @property
    def key(self) -> str:
        """Its name with that of its floor, as an override names it."""
        return self.name if self.floor is None else f"{self.floor}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of a gate: that of its worst rule."""

    outcome: Outcome
    """`pass`, `warn` or `fail`."""
    findings: tuple[Finding, ...]
    """One a rule, in the order of the rules; one a benchmark, where a rule speaks of several."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """One reason a finding."""
        return tuple(finding.reason for finding in self.findings)


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """Return the verdict over the findings; without any nothing was judged, which is a fail."""
    found = tuple(findings)
    return Verdict(outcome=worst_of((finding.outcome for finding in found), default="fail"), findings=found)


def worst_of(outcomes: Iterable[Outcome], *, default: Outcome) -> Outcome:
    """Return the worst outcome; `default` if there is none."""
    return max(outcomes, key=_SEVERITY.index, default=default)
