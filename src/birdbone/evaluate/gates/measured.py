"""Rules over measurements, and the verdict they give. What was not measured never passes."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

from birdbone.core import Measurement
from birdbone.evaluate.config import GateRule
from birdbone.evaluate.errors import AmbiguousMeasurementError
from birdbone.evaluate.gates.verdicts import Finding, Outcome, Verdict, verdict_of


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
    ours, theirs = by_name(candidate, "candidate"), by_name(baseline, "baseline")
    return verdict_of(apply_rule(rule, ours, theirs) for rule in rules)


def by_name(measurements: Sequence[Measurement], whose: str) -> dict[str, Measurement]:
    """Return the measurements by their names.

    Raises:
        AmbiguousMeasurementError: two have one name.
    """
    named: dict[str, Measurement] = {}
    for measurement in measurements:
        if measurement.name in named:
            raise AmbiguousMeasurementError(f"The {whose} has two measurements '{measurement.name}'.")
        named[measurement.name] = measurement
    return named


def apply_rule(rule: GateRule, ours: Mapping[str, Measurement], theirs: Mapping[str, Measurement]) -> Finding:
    """Return what one rule finds in the candidate's measurements and the baseline's, by their names."""
    try:
        figure, words = _figure(rule, ours, theirs)
    except _Unfounded as error:
        reason = f"{rule.measurement}: {error}"
        return Finding(rule=rule, name=rule.label, outcome="fail", reason=reason, figure=None)
    outcome, measured = _outcome(rule, figure), ours[rule.measurement]
    has_ends = not rule.is_ratio
    return Finding(
        rule=rule,
        name=rule.label,
        outcome=outcome,
        reason=f"{rule.measurement}: {words}; {_bound(rule, outcome)}",
        figure=figure,
        low=measured.low if has_ends else None,
        high=measured.high if has_ends else None,
        num_items=measured.sample_size,
    )


def _figure(rule: GateRule, ours: Mapping[str, Measurement], theirs: Mapping[str, Measurement]) -> tuple[float, str]:
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


def _measured(rule: GateRule, named: Mapping[str, Measurement], where: str) -> Measurement:
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
