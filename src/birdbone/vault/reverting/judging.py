"""What all rules together say of the newest version of a history. Pure: no store, no clock, no randomness."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import assert_never

from birdbone.vault.errors import BadRulesError
from birdbone.vault.reverting.detectors import Alarm, find_adwin, find_page_hinkley, robust_score
from birdbone.vault.reverting.findings import Evidence, Finding, Judgement, Status, evidence_of
from birdbone.vault.reverting.observations import Figure, Observation, RefHistory
from birdbone.vault.reverting.rules import (
    AdwinRule,
    GateRule,
    PageHinkleyRule,
    RevertRules,
    Rule,
    ThresholdRule,
    ZScoreRule,
)
from birdbone.vault.reverting.violations import Judged, find_violation, judge_each

_SeriesRule = ZScoreRule | PageHinkleyRule | AdwinRule
_Point = tuple[Observation, Figure, float]


def evaluate_rules(history: RefHistory, rules: RevertRules) -> Judgement:
    """Return what the rules say of the newest observation of `history`, and where to go back to.

    Any rule that fires asks for a revert. It goes back to the newest version before every onset that no threshold or
    gate finds bad and that has the figures of the rules that fired. If only versions without those figures are left,
    the newest of them is proposed and a person has to approve, whatever the rules say.

    Raises:
        BadRulesError: the history has no observation.
    """
    observations = history.observations
    if not observations:
        raise BadRulesError("There is no version to judge.", hint="Commit a version with measurements first.")
    findings = tuple(_hold(rule, _find(rule, observations), history) for rule in rules.rules)
    fired = [finding for finding in findings if finding.status == "fired"]
    tip = observations[-1].version
    if not fired:
        is_held = any(finding.status == "held" for finding in findings)
        reason = "a rule fired in its cool-down" if is_held else "no rule fired"
        action: str = "hold" if is_held else "keep"
        return Judgement(
            action=action,  # type: ignore[arg-type]
            tip=tip,
            return_to=None,
            approval="none",
            reason=reason,
            findings=findings,
        )
    place, is_proven = _find_target(rules, fired, observations)
    num_returns = sum(history.returns[-rules.person_within_waves :])
    is_circling = num_returns >= rules.person_after_reverts
    wants_person = any(rule.approval == "required" for rule in _rules_of(fired, rules))
    reason = "; ".join(f"{finding.rule}: {finding.reason}" for finding in fired)
    if place is not None and not is_proven:
        reason += "; the figures of the version to go back to were not measured"
    if is_circling:
        reason += f"; {num_returns} of the last {rules.person_within_waves} versions went back already"
    return Judgement(
        action="stuck" if place is None else "revert",
        tip=tip,
        return_to=None if place is None else observations[place].version,
        approval="required" if place is not None and (wants_person or is_circling or not is_proven) else "none",
        reason=reason if place is not None else f"{reason}; no earlier version is known not to be bad",
        findings=findings,
    )


def _find(rule: Rule, observations: Sequence[Observation]) -> Finding:
    match rule:
        case ThresholdRule() | GateRule():
            return find_violation(rule, observations)
        case ZScoreRule() | PageHinkleyRule() | AdwinRule():
            return _find_in_series(rule, observations)
        case _:
            assert_never(rule)


def _hold(rule: Rule, finding: Finding, history: RefHistory) -> Finding:
    since = history.waves_since_return
    if finding.status != "fired" or since is None or since >= rule.cool_down_waves:
        return finding
    words = f"{finding.reason}; {since} of {rule.cool_down_waves} waves since the last revert"
    return finding.model_copy(update={"status": "held", "reason": words})


def _find_in_series(rule: _SeriesRule, observations: Sequence[Observation]) -> Finding:
    newest = observations[-1].find(rule.measurement, accepts_estimates=rule.accepts_estimates)
    if newest is None:
        return _series_finding(rule, "not_measured", f"{rule.measurement} not measured")
    if not newest.is_finite:
        last: _Point = (observations[-1], newest, math.nan)
        return _series_finding(rule, "fired", f"{rule.measurement} came to no finite number", trial=[last])
    points = _series(rule, observations)
    if not points or points[-1][0] is not observations[-1]:
        return _series_finding(rule, "not_measured", f"{newest.value:.6g} has no value on the scale {rule.on}")
    match rule:
        case ZScoreRule():
            return _find_outlying(rule, points)
        case PageHinkleyRule():
            alarm = find_page_hinkley(
                [x for *_, x in points],
                delta=rule.delta,
                threshold=rule.threshold,
                min_observations=rule.min_observations,
            )
        case AdwinRule():
            alarm = find_adwin(
                [x / rule.span for *_, x in points],
                delta=rule.delta,
                min_window=rule.min_window,
                min_observations=rule.min_observations,
            )
        case _:
            assert_never(rule)
    return _find_shift(rule, points, alarm)


def _series(rule: _SeriesRule, observations: Sequence[Observation]) -> list[_Point]:
    """Return the finite figures on the rule's scale, turned so that higher is worse."""
    sign = 1.0 if rule.lower_is_better else -1.0
    found = [(seen, seen.find(rule.measurement, accepts_estimates=rule.accepts_estimates)) for seen in observations]
    known = [(seen, figure) for seen, figure in found if figure is not None and figure.is_finite]
    if rule.on == "value":
        return [(seen, figure, sign * figure.value) for seen, figure in known]
    logs = [(seen, figure, sign * math.log(figure.value)) for seen, figure in known if figure.value > 0]
    if rule.on == "log":
        return logs
    return [(seen, figure, x - before) for (*_, before), (seen, figure, x) in itertools.pairwise(logs)]


def _find_outlying(rule: ZScoreRule, points: Sequence[_Point]) -> Finding:
    trial, window = points[-rule.for_waves :], points[: -rule.for_waves][-rule.window :]
    if len(window) < rule.window:
        return _series_finding(rule, "too_few", f"{len(points)} of {rule.window + rule.for_waves} observations")
    scores = [robust_score(x, [y for *_, y in window], min_spread=rule.min_spread) for *_, x in trial]
    last = scores[-1]
    num_beyond = sum(score.z > rule.limit for score in scores)
    status: Status = "fired" if num_beyond == len(scores) else "pending" if last.z > rule.limit else "quiet"
    return _series_finding(
        rule,
        status,
        f"{rule.measurement} has z = {last.z:.2f} over {rule.window} waves, {rule.limit:g} is allowed; "
        f"{num_beyond} of {rule.for_waves} waves",
        trial=trial,
        baseline=window,
        state={"z": last.z, "median": last.median, "spread": last.spread, "limit": rule.limit},
    )


def _find_shift(rule: PageHinkleyRule | AdwinRule, points: Sequence[_Point], alarm: Alarm | None) -> Finding:
    """Return whether the newest alarm stands: each of the newest observations is still worse than the mean before."""
    if len(points) < rule.min_observations:
        return _series_finding(rule, "too_few", f"{len(points)} of {rule.min_observations} observations")
    if alarm is None or alarm.onset <= alarm.start:
        return _series_finding(rule, "quiet", "no change was found", state={"observations": float(len(points))})
    before, since = points[alarm.start : alarm.onset], points[alarm.onset :]
    mean_before = statistics.fmean(x for *_, x in before)
    excess = min(x for *_, x in since[-rule.for_waves :]) - mean_before
    stands = excess > rule.min_change
    status: Status = "quiet" if not stands else "fired" if len(since) >= rule.for_waves else "pending"
    return _series_finding(
        rule,
        status,
        f"the mean of {rule.measurement} changed {len(since)} waves ago; the newest are at least {excess:.4g} worse "
        f"on the scale {rule.on}, {rule.min_change:g} is allowed",
        trial=since,
        baseline=before,
        state={"statistic": alarm.statistic, "mean_before": mean_before, "excess": excess, "alarm_at": float(alarm.at)},
    )


def _series_finding(
    rule: _SeriesRule,
    status: Status,
    reason: str,
    *,
    trial: Sequence[_Point] = (),
    baseline: Sequence[_Point] = (),
    state: dict[str, float] | None = None,
) -> Finding:
    return Finding(
        rule=rule.name,
        kind=rule.kind,
        status=status,
        reason=reason,
        trial=_as_evidence(trial),
        baseline=_as_evidence(baseline),
        state=state or {},
        onset=trial[0][0].version if trial and status in ("pending", "fired") else None,
    )


def _as_evidence(points: Sequence[_Point]) -> tuple[Evidence, ...]:
    return tuple(evidence_of(observation, figure) for observation, figure, _ in points)


def _find_target(
    rules: RevertRules, fired: Sequence[Finding], observations: Sequence[Observation]
) -> tuple[int | None, bool]:
    """Return the place of the version to go back to, and whether its figures are known to be good."""
    places = {observation.version: place for place, observation in enumerate(observations)}
    start = min(places[finding.onset or observations[-1].version] for finding in fired)
    judged = {
        rule.name: judge_each(rule, observations) for rule in rules.rules if isinstance(rule, ThresholdRule | GateRule)
    }
    not_bad = [place for place in range(start) if all(row[place].state != "bad" for row in judged.values())]
    proven = [place for place in not_bad if _is_proven(observations[place], place, _rules_of(fired, rules), judged)]
    found = proven or not_bad
    return (found[-1] if found else None), bool(proven)


def _is_proven(observation: Observation, place: int, fired: Sequence[Rule], judged: dict[str, list[Judged]]) -> bool:
    for rule in fired:
        if rule.name in judged:
            if judged[rule.name][place].state != "good":
                return False
            continue
        figure = observation.find(rule.measurement, accepts_estimates=rule.accepts_estimates)
        if figure is None or not figure.is_finite:
            return False
    return True


def _rules_of(findings: Sequence[Finding], rules: RevertRules) -> list[Rule]:
    names = {finding.rule for finding in findings}
    return [rule for rule in rules.rules if rule.name in names]
