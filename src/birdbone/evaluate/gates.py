"""Rules over measurements, and the verdict they give. What was not measured never passes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from birdbone.core import Measurement
from birdbone.evaluate.config import GateRule
from birdbone.evaluate.errors import AmbiguousMeasurementError

Outcome = Literal["pass", "warn", "fail"]

_SEVERITY: tuple[Outcome, ...] = ("pass", "warn", "fail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule found."""

    rule: GateRule
    """The rule."""
    outcome: Outcome
    """Its outcome."""
    reason: str
    """Why, in plain words with the figures."""
    figure: float | None
    """What was compared with the limit; absent where nothing could be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of a gate: that of its worst rule."""

    outcome: Outcome
    """`pass`, `warn` or `fail`."""
    findings: tuple[Finding, ...]
    """One a rule, in the order of the rules."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """One reason a rule."""
        return tuple(finding.reason for finding in self.findings)


class _Unfounded(Exception):
    """A rule has no figure to judge; the text says why."""


def judge(rules: Sequence[GateRule], candidate: Sequence[Measurement], baseline: Sequence[Measurement]) -> Verdict:
    """Return the verdict of `rules` on a candidate's measurements against a baseline's.

    A gate without rules has judged nothing, and fails.

    Args:
        rules: what has to hold.
        candidate: measurements of the candidate, each name once.
        baseline: measurements of what it is compared with; may be empty if no rule is a ratio.

    Raises:
        AmbiguousMeasurementError: one of the two has two measurements of one name.
    """
    ours, theirs = _by_name(candidate, "candidate"), _by_name(baseline, "baseline")
    findings = tuple(_apply(rule, ours, theirs) for rule in rules)
    worst: Outcome = max((finding.outcome for finding in findings), key=_SEVERITY.index, default=_SEVERITY[-1])
    return Verdict(outcome=worst, findings=findings)


def _by_name(measurements: Sequence[Measurement], whose: str) -> dict[str, Measurement]:
    named: dict[str, Measurement] = {}
    for measurement in measurements:
        if measurement.name in named:
            raise AmbiguousMeasurementError(f"The {whose} has two measurements '{measurement.name}'.")
        named[measurement.name] = measurement
    return named


def _apply(rule: GateRule, ours: dict[str, Measurement], theirs: dict[str, Measurement]) -> Finding:
    try:
        figure, words = _figure(rule, ours, theirs)
    except _Unfounded as error:
        return Finding(rule=rule, outcome="fail", reason=f"{rule.measurement}: {error}", figure=None)
    outcome = _outcome(rule, figure)
    return Finding(
        rule=rule, outcome=outcome, reason=f"{rule.measurement}: {words}; {_bound(rule, outcome)}", figure=figure
    )


def _figure(rule: GateRule, ours: dict[str, Measurement], theirs: dict[str, Measurement]) -> tuple[float, str]:
    """Return what is compared with the limit, and the words for it."""
    measured = _measured(rule, ours, "")
    if rule.is_ratio:
        reference = _measured(rule, theirs, " on the baseline")
        return _ratio(measured, reference)
    if rule.judged_by == "value":
        return measured.value, f"{_number(measured.value)}{_unit(measured)}"
    end = measured.high if rule.is_upper else measured.low
    if end is None:
        raise _Unfounded("its interval was not measured")
    side = "upper" if rule.is_upper else "lower"
    return end, f"{_number(measured.value)}{_unit(measured)}, {side} end of the 95 % interval {_number(end)}"


def _measured(rule: GateRule, named: dict[str, Measurement], where: str) -> Measurement:
    measurement = named.get(rule.measurement)
    if measurement is None:
        raise _Unfounded(f"not measured{where}")
    if measurement.basis != "measured" and not rule.accepts_estimates:
        raise _Unfounded(f"not measured{where}, only {measurement.basis}")
    return measurement


def _ratio(measured: Measurement, reference: Measurement) -> tuple[float, str]:
    if measured.unit != reference.unit:
        raise _Unfounded(f"in {measured.unit}, but on the baseline in {reference.unit}: not comparable")
    if reference.value <= 0 or measured.value < 0:
        raise _Unfounded(f"{_number(measured.value)} against {_number(reference.value)} on the baseline has no ratio")
    ratio = measured.value / reference.value
    words = f"{_number(measured.value)} is {_number(ratio)} times the baseline's {_number(reference.value)}"
    return ratio, words + _unit(measured)


def _outcome(rule: GateRule, figure: float) -> Outcome:
    beyond = operator.gt if rule.is_upper else operator.lt
    if beyond(figure, rule.limit):
        return "fail"
    return "warn" if rule.warn is not None and beyond(figure, rule.warn) else "pass"


def _bound(rule: GateRule, outcome: Outcome) -> str:
    words = "at most" if rule.is_upper else "at least"
    if outcome == "warn" and rule.warn is not None:
        return f"{words} {_number(rule.warn)} was hoped for, {words} {_number(rule.limit)} is required"
    return f"{words} {_number(rule.limit)} is required"


def _unit(measurement: Measurement) -> str:
    return "" if measurement.unit == "1" else f" {measurement.unit}"


def _number(value: float) -> str:
    return f"{value:.5g}" if abs(value) < 1e5 else f"{value:,.0f}"
