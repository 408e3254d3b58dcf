"""Measuring what rules need to know of two models that are open: for one verdict, and at each rung of a watch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from birdbone.cli.evaluate.asking import Asked, On, ask_opened
from birdbone.cli.evaluate.bars import question_bar
from birdbone.cli.evaluate.subjects import Opened
from birdbone.core import Measurement
from birdbone.data import load_texts
from birdbone.evaluate import GateRule
from birdbone.evaluate.benchmarks.opening import Candidate, Service
from birdbone.evaluate.benchmarks.standing import measurement_of
from birdbone.evaluate.gates.evidence import KL, RATIO, SAME_TOP, AnswerPair, Evidence
from birdbone.evaluate.gates.gathering import Extent, read_both, stored_size
from birdbone.evaluate.gates.judging import benchmarks_of
from birdbone.evaluate.gates.rule_sets import RuleSet
from birdbone.evaluate.gates.rules import EVERY, DivergenceRule, PerplexityRatioRule, SameTopRule
from birdbone.watch import choose_num_threads

_BENCHMARK = "benchmark."
_OF_TEXT = ("perplexity", RATIO, KL, f"{KL}_p99", SAME_TOP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How much is read and asked, and on what."""

    text: str
    """`bundled`, a file, a folder, or a dataset of the hub."""
    extent: Extent
    asked: Asked
    on: On


def measure(candidate: Opened, baseline: Opened, rules: RuleSet, how: Measuring) -> Evidence:
    """Return what the rules need to know of the candidate and of what it is compared with.

    Raises:
        UnpairedError: the models were not asked the same, or split the text into other tokens.
        ModelError, EvaluateError: the models, the items, or the asking.
    """
    ours, theirs = candidate[0], baseline[0]
    evidence = Evidence()
    if _needs_text(rules) and isinstance(ours, Candidate) and isinstance(theirs, Candidate):
        evidence = _read_text(ours, theirs, how)
    answers = _ask_both(candidate, baseline, rules, how)
    return replace(
        evidence,
        candidate=(*evidence.candidate, *_size(ours), *(measurement_of(pair.candidate) for pair in answers)),
        baseline=(*evidence.baseline, *_size(theirs), *(measurement_of(pair.baseline) for pair in answers)),
        answers=answers,
    )


def _size(model: Candidate | Service) -> tuple[Measurement, ...]:
    return (stored_size(model),) if isinstance(model, Candidate) else ()


def _read_text(candidate: Candidate, baseline: Candidate, how: Measuring) -> Evidence:
    with question_bar("text") as tell:
        return read_both(
            candidate,
            baseline,
            load_texts(how.text).heldout,
            extent=how.extent,
            num_threads=how.on.threads or choose_num_threads(),
            progress=tell,
        )


def _ask_both(candidate: Opened, baseline: Opened, rules: RuleSet, how: Measuring) -> tuple[AnswerPair, ...]:
    names = benchmarks_of(rules) | _benchmarks_measured(rules)
    if not names:
        return ()
    asked = how.asked if EVERY in names else replace(how.asked, only=tuple(sorted(names)))
    ours = {result.benchmark: result for result in ask_opened(candidate, asked, how.on)}
    return tuple(
        AnswerPair(candidate=ours[result.benchmark], baseline=result) for result in ask_opened(baseline, asked, how.on)
    )


def _benchmarks_measured(rules: RuleSet) -> set[str]:
    named = [rule.measurement for rule in rules.all_rules() if isinstance(rule, GateRule)]
    return {name.removeprefix(_BENCHMARK) for name in named if name.startswith(_BENCHMARK)}


def _needs_text(rules: RuleSet) -> bool:
    return any(
        rule.measurement in _OF_TEXT
        if isinstance(rule, GateRule)
        else isinstance(rule, PerplexityRatioRule | DivergenceRule | SameTopRule)
        for rule in rules.all_rules()
    )
