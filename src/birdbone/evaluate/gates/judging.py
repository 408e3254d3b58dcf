"""The verdict of a whole set of rules, where every comparison is judged by its interval and its adjusted p-value.

Theory of operation. That a rule is broken is a claim, and a set of twenty rules that are just kept raises a false one
in two of three cases, at 5 % each. So a rule fails only where the evidence outlasts the adjustment over the set. That a
rule is kept needs no adjustment, since all of them have to be. What is neither is undecided, and counts as what the
rule says: a warning or a fail, never a pass. A retention that means nothing, since the baseline knows next to nothing,
hands over to the rules on perplexity, divergence and flips that stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from birdbone.evaluate.config import GateRule, Stage
from birdbone.evaluate.gates.estimates import Estimate, NoEstimate, estimate_answers, estimate_text
from birdbone.evaluate.gates.evidence import KL, RATIO, Evidence
from birdbone.evaluate.gates.measured import apply_rule, by_name
from birdbone.evaluate.gates.rule_sets import Correction, Rule, RuleSet
from birdbone.evaluate.gates.rules import (
    EVERY,
    ComparisonRule,
    DifferenceRule,
    DivergenceRule,
    FlipsRule,
    NoWorseRule,
    PerplexityRatioRule,
    RetentionRule,
    limit_of,
    warn_of,
)
from birdbone.evaluate.gates.verdicts import Finding, Floor, Verdict, verdict_of, worst_of
from birdbone.evaluate.gates.wording import bound_words, effect_words, floor_words, undecided_words
from birdbone.evaluate.statistics.equivalence import LEVEL
from birdbone.evaluate.statistics.multiplicity import benjamini_hochberg, holm

Answer = Literal["kept", "broken", "open"]

_ON_ANSWERS = (DifferenceRule, NoWorseRule, RetentionRule, FlipsRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A rule with what it is judged by."""

    rule: ComparisonRule
    name: str
    floor: Floor | None
    found: Estimate | NoEstimate

    @property
    def p_value(self) -> float | None:
        """Of a candidate that lies at the limit; at most the level exactly where the interval is beyond it."""
        one_sided = self._one_sided()
        if one_sided is None or isinstance(self.rule, NoWorseRule):
            return one_sided  # its test has the level on one side, the others' intervals half of it on each
        return min(1.0, 2 * one_sided)

    def _one_sided(self) -> float | None:
        if isinstance(self.found, NoEstimate) or self.found.chance_below is None:
            return None
        limit, is_upper = limit_of(self.rule)
        below = self.found.chance_below(limit)
        return 1 - below if is_upper else below

    def answer(self, adjusted: float | None) -> Answer:
        """Return whether the limit is kept, not kept, or neither is sure."""
        if isinstance(self.found, NoEstimate):
            return "open"
        limit, is_upper = limit_of(self.rule)
        one_sided = self._one_sided()
        if isinstance(self.rule, NoWorseRule) and one_sided is not None:
            is_kept, is_broken = 1 - one_sided <= LEVEL, one_sided <= LEVEL
        else:
            is_kept = self.found.high <= limit if is_upper else self.found.low >= limit
            is_broken = self.found.low > limit if is_upper else self.found.high < limit
        if is_kept:
            return "kept"
        return "broken" if is_broken and (adjusted is None or adjusted <= LEVEL) else "open"


def judge_rules(
    rules: RuleSet, evidence: Evidence, *, first: Evidence | None = None, stage: Stage | None = None
) -> Verdict:
    """Return the verdict of a set of rules.

    Args:
        rules: from `rule_sets`.
        evidence: on the candidate and the baseline; for the floor of a stage the baseline is what the stage began with.
        first: on the candidate and the first model, for the cumulative rules; the baseline is the first unless given.
        stage: whose floor is judged; the floors of other stages are not.

    Raises:
        UnpairedError: a benchmark was asked of other items, or otherwise, of the two.
        AmbiguousMeasurementError: two measurements of one model have one name.
    """
    sections: list[tuple[Floor | None, Sequence[Rule], Evidence]] = [(None, rules.rules, evidence)]
    if stage is not None:
        sections.append((stage, rules.stages.get(stage, ()), evidence))
    sections.append(("cumulative", rules.cumulative, first if first is not None else evidence))
    asked = [each for section in sections for each in _ask(*section)]
    adjusted = _adjust([each.p_value if isinstance(each, _Asked) else None for each in asked], rules.correction)
    findings = [
        _conclude(each, p_value) if isinstance(each, _Asked) else each
        for each, p_value in zip(asked, adjusted, strict=True)
    ]
    return verdict_of(_hand_over(finding, findings) for finding in findings)


def benchmarks_of(rules: RuleSet) -> set[str]:
    """Return the benchmarks that the rules speak of; `*` if one speaks of all."""
    return {rule.benchmark for rule in rules.all_rules() if isinstance(rule, _ON_ANSWERS)}


def _ask(floor: Floor | None, rules: Sequence[Rule], evidence: Evidence) -> Iterator[_Asked | Finding]:
    ours, theirs = by_name(evidence.candidate, "candidate"), by_name(evidence.baseline, "baseline")
    for rule in rules:
        if isinstance(rule, GateRule):
            finding = apply_rule(rule, ours, theirs)
            yield replace(finding, floor=floor, reason=floor_words(floor) + finding.reason)
        elif isinstance(rule, _ON_ANSWERS):
            yield from _ask_answers(rule, floor, evidence)
        else:
            yield _Asked(rule=rule, name=rule.label, floor=floor, found=estimate_text(rule, evidence))


def _ask_answers(
    rule: DifferenceRule | NoWorseRule | RetentionRule | FlipsRule, floor: Floor | None, evidence: Evidence
) -> Iterator[_Asked]:
    pairs = [pair for pair in evidence.answers if rule.benchmark in (EVERY, pair.baseline.benchmark)]
    for pair in pairs:
        name = f"{rule.label}.{pair.baseline.benchmark}" if rule.benchmark == EVERY else rule.label
        yield _Asked(rule=rule, name=name, floor=floor, found=estimate_answers(rule, pair))
    if not pairs:
        yield _Asked(rule=rule, name=rule.label, floor=floor, found=NoEstimate(reason="not measured"))


def _adjust(p_values: Sequence[float | None], correction: Correction | None) -> list[float | None]:
    """Return the p-values adjusted over those that there are, each in its place."""
    known = [p_value for p_value in p_values if p_value is not None]
    if not known:
        return list(p_values)
    adjust = benjamini_hochberg if correction == "benjamini_hochberg" else holm
    adjusted = iter(adjust(known).tolist())
    return [None if p_value is None else float(next(adjusted)) for p_value in p_values]


def _conclude(asked: _Asked, adjusted: float | None) -> Finding:
    begin = f"{floor_words(asked.floor)}{asked.name}: "
    blank = Finding(
        rule=asked.rule, name=asked.name, floor=asked.floor, outcome="fail", reason=begin + "not measured", figure=None
    )
    if isinstance(asked.found, NoEstimate):
        return _without_estimate(blank, asked.found, begin)
    finding = replace(
        blank,
        figure=asked.found.value,
        low=asked.found.low,
        high=asked.found.high,
        num_items=asked.found.num,
        p_value=asked.p_value,
        adjusted_p_value=adjusted,
        detectable=asked.found.detectable,
    )
    return _with_estimate(finding, asked, asked.found, begin)


def _without_estimate(blank: Finding, found: NoEstimate, begin: str) -> Finding:
    """Return a fail for what was not measured, and no pass for what was but cannot be compared."""
    if not found.is_measured:
        return replace(blank, reason=begin + found.reason)
    words = "not informative" if found.is_uninformative else "undecided"
    return replace(blank, outcome=_undecided(blank.rule), is_undecided=True, reason=f"{begin}{words}: {found.reason}")


def _with_estimate(finding: Finding, asked: _Asked, found: Estimate, begin: str) -> Finding:
    rule, answer = asked.rule, asked.answer(finding.adjusted_p_value)
    effect = f"{begin}{effect_words(rule, found)}"
    if answer == "kept":
        is_warned = _is_beyond_warn(rule, found.value)
        words = bound_words(rule, is_warned=is_warned)
        return replace(finding, outcome="warn" if is_warned else "pass", reason=f"{effect}; {words}")
    told = "" if finding.adjusted_p_value is None else f", adjusted p {finding.adjusted_p_value:.2g}"
    reason = f"{effect}{told}; {bound_words(rule, is_warned=False)}"
    if answer == "broken":
        return replace(finding, outcome="fail", reason=reason)
    why = _why_open(asked, found)
    return replace(finding, outcome=_undecided(rule), is_undecided=True, reason=f"{reason}; {why}")


def _why_open(asked: _Asked, found: Estimate) -> str:
    if asked.answer(None) == "broken":
        return f"undecided: beyond it by itself (p {asked.p_value:.2g}), but not for sure among all rules of the set"
    return undecided_words(asked.rule, found)


def _hand_over(finding: Finding, findings: Sequence[Finding]) -> Finding:
    """Return the finding; that of a retention that means nothing becomes the worst of those it hands over to."""
    if not (isinstance(finding.rule, RetentionRule) and finding.is_undecided and finding.figure is None):
        return finding
    takers = [other for other in findings if other.floor == finding.floor and _takes_over(other, finding)]
    if not takers:
        words = "no rule on perplexity, divergence or flips stands beside it to take over"
        return replace(finding, reason=f"{finding.reason}; {words}")
    told = ", ".join(f"{other.name} ({other.outcome})" for other in takers)
    outcome = worst_of((other.outcome for other in takers), default="fail")
    return replace(finding, outcome=outcome, is_undecided=False, reason=f"{finding.reason}; handed over to {told}")


def _takes_over(other: Finding, finding: Finding) -> bool:
    if isinstance(other.rule, GateRule):
        return other.rule.measurement in (RATIO, KL)
    if isinstance(other.rule, FlipsRule):
        return _benchmark_of(other) in (EVERY, _benchmark_of(finding))
    return isinstance(other.rule, PerplexityRatioRule | DivergenceRule)


def _benchmark_of(finding: Finding) -> str:
    """Return the benchmark of a finding over answers; `*` of a rule that found none."""
    benchmark = str(getattr(finding.rule, "benchmark", EVERY))
    label = str(finding.rule.label)
    return finding.name.removeprefix(f"{label}.") if benchmark == EVERY and finding.name != label else benchmark


def _is_beyond_warn(rule: ComparisonRule, value: float) -> bool:
    warn, (_, is_upper) = warn_of(rule), limit_of(rule)
    return warn is not None and (value > warn if is_upper else value < warn)


def _undecided(rule: GateRule | ComparisonRule) -> Literal["warn", "fail"]:
    return "fail" if isinstance(rule, GateRule) else rule.undecided
