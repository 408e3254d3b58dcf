"""The rungs of validation: each asks more than the one before, and is only asked where that one did not fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from birdbone.evaluate.benchmarks import SUITES, SuiteName
from birdbone.evaluate.config import GateRule
from birdbone.evaluate.gates.rule_sets import Rule, RuleSet
from birdbone.evaluate.gates.rules import EVERY, DifferenceRule, FlipsRule, NoWorseRule, RetentionRule

RungName = Literal["smoke", "quick", "full"]
_ON_ANSWERS = (DifferenceRule, NoWorseRule, RetentionRule, FlipsRule)
_BENCHMARK = "benchmark."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """What is asked at one rung."""

    name: RungName
    """Its name."""
    suite: SuiteName | None
    """Benchmarks that are asked; none at the first rung."""
    num_windows: int
    """Windows of held-out text that are read."""


RUNGS: tuple[Rung, ...] = (
    Rung(name="smoke", suite=None, num_windows=8),
    Rung(name="quick", suite="quick", num_windows=32),
    Rung(name="full", suite="core", num_windows=64),
)
"""From seconds to hours. Smoke loads the model, reads a little text and asks nothing."""


def rules_on(rung: Rung, rules: RuleSet) -> RuleSet:
    """Return those rules whose evidence this rung gives; the last rung is to be judged by all of them."""
    if rung == RUNGS[-1]:
        return rules
    asked = {question.benchmark for question in SUITES[rung.suite]} if rung.suite is not None else set()

    def is_known(rule: Rule) -> bool:
        if isinstance(rule, _ON_ANSWERS):
            return rule.benchmark in asked or (rule.benchmark == EVERY and bool(asked))
        if isinstance(rule, GateRule) and rule.measurement.startswith(_BENCHMARK):
            return rule.measurement.removeprefix(_BENCHMARK) in asked
        return True

    def known(found: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(rule for rule in found if is_known(rule))

    stages = {stage: known(found) for stage, found in rules.stages.items()}
    return rules.model_copy(
        update={"rules": known(rules.rules), "cumulative": known(rules.cumulative), "stages": stages}
    )
