"""Which observations are beyond a limit, each judged by itself: thresholds and gates."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from birdbone.vault.reverting.findings import Finding, Status, evidence_of
from birdbone.vault.reverting.observations import Figure, Observation
from birdbone.vault.reverting.rules import GateRule, SingleRule, ThresholdRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One observation under one rule."""

    observation: Observation
    place: int
    state: Literal["good", "bad", "unknown"]
    """`unknown`: there is no figure to judge."""
    words: str
    figures: tuple[Figure, ...] = ()
    baseline: tuple[tuple[Observation, Figure], ...] = ()
    baseline_value: float | None = None


def judge_each(rule: SingleRule, observations: Sequence[Observation]) -> list[Judged]:
    """Return how each observation stands under `rule`, given those before it; oldest first."""
    if isinstance(rule, GateRule):
        return [_judge_gate(rule, observation, place) for place, observation in enumerate(observations)]
    accepted: list[tuple[Observation, Figure]] = []
    judged = []
    for place, observation in enumerate(observations):
        one = _judge_threshold(rule, observation, place, accepted)
        judged.append(one)
        if one.state == "good":
            accepted += [(observation, figure) for figure in one.figures]
    return judged


def find_violation(rule: SingleRule, observations: Sequence[Observation]) -> Finding:
    """Return what `rule` says at the newest of `observations` (at least one).

    The newest must have the figure: what happened to versions before it says nothing of a version that was not
    measured. Versions without the figure in between neither add to a row of bad waves nor break it.
    """
    judged = judge_each(rule, observations)
    last = judged[-1]
    if last.state == "unknown":
        return _finding(rule, "not_measured", last.words, [])
    row = bad_row(judged)
    if not row:
        return _finding(rule, "quiet", last.words, [last])
    needed = rule.for_waves if isinstance(rule, ThresholdRule) else 1
    status: Status = "fired" if len(row) >= needed else "pending"
    return _finding(rule, status, f"{last.words}; {len(row)} of {needed} waves", row)


def bad_row(judged: Sequence[Judged]) -> list[Judged]:
    """Return the bad observations at the end, oldest first; those without a figure are passed over."""
    row = []
    for one in reversed(judged):
        if one.state == "good":
            break
        if one.state == "bad":
            row.append(one)
    return row[::-1]


def _judge_gate(rule: GateRule, observation: Observation, place: int) -> Judged:
    names = {figure.name for figure in observation.figures if fnmatchcase(figure.name, rule.measurement)}
    found = [observation.find(name, accepts_estimates=rule.accepts_estimates) for name in sorted(names)]
    figures = tuple(figure for figure in found if figure is not None)
    if not figures:
        state: Literal["bad", "unknown"] = "bad" if rule.missing == "fail" else "unknown"
        return Judged(observation=observation, place=place, state=state, words=f"{rule.measurement} not measured")
    failed = [words for figure in figures if (words := _gate_failure(rule, figure))]
    return Judged(
        observation=observation,
        place=place,
        state="bad" if failed else "good",
        words="; ".join(failed) or f"{', '.join(figure.name for figure in figures)} passed",
        figures=figures,
    )


def _gate_failure(rule: GateRule, figure: Figure) -> str:
    """Return why a figure fails a gate; empty if it does not."""
    if figure.outcome is not None:
        return f"{figure.name} has the verdict fail" if figure.outcome == "fail" else ""
    if not figure.is_finite:
        return f"{figure.name} came to no finite number"
    if rule.at_least is not None and figure.value < rule.at_least:
        return f"{figure.name} is {figure.value:.6g}, at least {rule.at_least:g} is required"
    if rule.at_most is not None and figure.value > rule.at_most:
        return f"{figure.name} is {figure.value:.6g}, at most {rule.at_most:g} is allowed"
    return ""


def _judge_threshold(
    rule: ThresholdRule, observation: Observation, place: int, accepted: Sequence[tuple[Observation, Figure]]
) -> Judged:
    figure = observation.find(rule.measurement, accepts_estimates=rule.accepts_estimates)
    if figure is None:
        words = f"{rule.measurement} not measured"
        return Judged(observation=observation, place=place, state="unknown", words=words)
    window = accepted[-rule.baseline_waves :] if rule.against == "accepted" else accepted[: rule.baseline_waves]
    baseline = () if rule.against == "nothing" else tuple(window)
    middle = statistics.median(known.value for _, known in baseline) if baseline else None
    state, words = _compare(rule, figure, baseline, middle)
    return Judged(
        observation=observation,
        place=place,
        state=state,
        words=words,
        figures=(figure,),
        baseline=baseline,
        baseline_value=middle,
    )


def _compare(
    rule: ThresholdRule, figure: Figure, baseline: Sequence[tuple[Observation, Figure]], middle: float | None
) -> tuple[Literal["good", "bad", "unknown"], str]:
    if not figure.is_finite:
        return "bad", f"{figure.name} came to no finite number"
    end, side = _judged_end(rule, figure)
    if end is None:
        return "unknown", f"the interval of {figure.name} was not measured"
    sign = 1 if rule.lower_is_better else -1
    if rule.against == "nothing":
        bound = "at most" if rule.lower_is_better else "at least"
        is_bad = sign * (end - rule.limit) > 0
        return "bad" if is_bad else "good", f"{figure.name} is {end:.6g}{side}, {bound} {rule.limit:g} is allowed"
    if middle is None:
        return "good", f"{figure.name} is {end:.6g}{side}, the first of its kind"
    if any(known.unit != figure.unit for _, known in baseline):
        return "unknown", f"{figure.name} is not in the unit of its baseline"
    if middle == 0:  # any rise over nothing is beyond every share
        is_bad = sign * end > 0
        return "bad" if is_bad else "good", f"{figure.name} is {end:.6g}{side}, the baseline is 0"
    worse = sign * (end - middle) / abs(middle)
    words = f"{figure.name} is {end:.6g}{side}, {abs(worse):.2%} {'worse' if worse > 0 else 'better'} than {middle:.6g}"
    return "bad" if worse > rule.limit else "good", f"{words}; {rule.limit:.2%} worse is allowed"


def _judged_end(rule: ThresholdRule, figure: Figure) -> tuple[float | None, str]:
    if rule.by == "value":
        return figure.value, ""
    end = figure.low if rule.lower_is_better else figure.high
    return end, f" at the {'lower' if rule.lower_is_better else 'upper'} end"


def _finding(rule: SingleRule, status: Status, reason: str, row: Sequence[Judged]) -> Finding:
    state = {"waves": float(len(row) if status != "quiet" else 0)}
    if isinstance(rule, ThresholdRule):
        state["limit"] = rule.limit
    if row and row[-1].baseline_value is not None:
        state["baseline"] = row[-1].baseline_value
    return Finding(
        rule=rule.name,
        kind=rule.kind,
        status=status,
        reason=reason,
        trial=tuple(evidence_of(one.observation, figure) for one in row for figure in one.figures),
        baseline=tuple(evidence_of(seen, figure) for seen, figure in (row[-1].baseline if row else ())),
        state=state,
        onset=row[0].observation.version if status in ("pending", "fired") else None,
    )
