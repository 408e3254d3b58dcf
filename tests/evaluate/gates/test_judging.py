"""A set of rules: what is sure passes or fails, what is not says so, and nothing passes in silence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.gates.answers import flipped, measured

from birdbone.evaluate.errors import UnpairedError
from birdbone.evaluate.gates import Finding
from birdbone.evaluate.gates.evidence import AnswerPair, Evidence
from birdbone.evaluate.gates.judging import judge_rules
from birdbone.evaluate.gates.rule_sets import RuleSet
from birdbone.evaluate.statistics.multiplicity import benjamini_hochberg, holm

GOOD = flipped(both=800, gained=5, lost=5, neither=190)
BAD = flipped(both=600, gained=10, lost=200, neither=190)
FEW = flipped(both=14, gained=1, lost=1, neither=4)
GUESSED = flipped(both=26, gained=24, lost=26, neither=24)


def rules(*raw: dict[str, Any], **more: Any) -> RuleSet:
    return RuleSet.model_validate({"rules": raw, **more})


def findings_of(raw: dict[str, Any], *pairs: AnswerPair, **more: Any) -> tuple[Finding, ...]:
    return judge_rules(rules(raw), Evidence(answers=pairs, **more)).findings


def text(ratio: float = 1.01, kl: float = 0.01, *, width: float = 0.005) -> tuple[Any, ...]:
    return (
        measured("perplexity_ratio", ratio, low=ratio - width, high=ratio + width, sample_size=5000),
        measured("kl_to_reference", kl, unit="nat", low=kl - width, high=kl + width, sample_size=5000),
        measured("same_top1", 0.95, low=0.94, high=0.96, sample_size=5000),
    )


KINDS = [
    {"kind": "difference", "at_least": -0.03},
    {"kind": "no_worse", "margin": 0.03},
    {"kind": "retention", "at_least": 0.9},
    {"kind": "flips", "at_most": 0.1},
]


@pytest.mark.parametrize("raw", KINDS, ids=lambda raw: raw["kind"])
def test_a_thousand_items_decide_and_twenty_do_not(raw: dict[str, Any]) -> None:
    (good,), (bad,), (few,) = (findings_of(raw, pair) for pair in (GOOD, BAD, FEW))
    assert (good.outcome, bad.outcome, few.outcome) == ("pass", "fail", "warn")
    assert (good.is_undecided, bad.is_undecided, few.is_undecided) == (False, False, True)
    assert "undecided: 20 items can show no less than" in few.reason
    assert bad.adjusted_p_value is not None
    assert bad.adjusted_p_value < 0.001
    (strict,) = findings_of(raw | {"undecided": "fail"}, FEW)
    assert (strict.outcome, strict.reason) == ("fail", few.reason)


@settings(max_examples=60)
@given(
    st.sampled_from(KINDS),
    st.fixed_dictionaries(
        {
            "both": st.integers(0, 200),
            "gained": st.integers(0, 40),
            "lost": st.integers(0, 40),
            "neither": st.integers(1, 99),
        }
    ),
)
def test_what_passes_has_its_whole_interval_within_the_limit(raw: dict[str, Any], counted: dict[str, int]) -> None:
    (found,) = findings_of(raw, flipped(**counted, chance=0.25))
    if found.outcome == "pass" and raw["kind"] != "no_worse":
        assert found.low is not None
        assert found.high is not None
        assert found.high <= raw["at_most"] if "at_most" in raw else found.low >= raw["at_least"]
    assert found.outcome == "pass" or found.reason
    assert found.outcome != "pass" or not found.is_undecided


def test_reasons_are_plain_words_with_the_figures() -> None:
    (found,) = findings_of({"kind": "difference", "benchmark": "piqa", "at_least": -0.03, "undecided": "fail"}, FEW)
    assert found.reason == (
        "difference.piqa: +0.0 points [-19.9 to +19.9], adjusted p 1; at least -3.0 points is required; "
        "undecided: 20 items can show no less than 34.8 points"
    )
    (ratio,) = findings_of({"kind": "perplexity_ratio", "at_most": 1.02, "warn": 1.005}, candidate=text())
    assert ratio.reason == (
        "perplexity_ratio: 1.0100 [1.0050 to 1.0150]; at most 1.0050 was hoped for, at most 1.0200 is required"
    )
    assert ratio.outcome == "warn"


def test_p_values_are_adjusted_over_those_that_there_are() -> None:
    raw = [{"kind": "difference", "name": f"d{bound}", "at_least": bound} for bound in (0.0, -0.1, -0.15)]
    plain = {"measurement": "perplexity_ratio", "kind": "at_most", "limit": 2.0}
    evidence = Evidence(answers=(BAD,), candidate=text())
    for correction, adjust in (("holm", holm), ("benjamini_hochberg", benjamini_hochberg), (None, holm)):
        found = judge_rules(rules(*raw, plain, correction=correction), evidence).findings
        p_values = [each.p_value for each in found]
        assert p_values[3] is None
        assert [each.adjusted_p_value for each in found[:3]] == pytest.approx(list(adjust(p_values[:3])))


def test_one_of_many_rules_needs_more_evidence_to_fail_than_one_alone() -> None:
    pair = flipped(both=60, gained=10, lost=24, neither=6)
    harmful = {"kind": "difference", "at_least": 0.0}
    assert findings_of(harmful, pair)[0].outcome == "fail"
    beside = [{"kind": "flips", "name": f"f{number}", "at_most": 0.9} for number in range(9)]
    found = judge_rules(rules(harmful, *beside), Evidence(answers=(pair,))).findings[0]
    assert (found.outcome, found.is_undecided) == ("warn", True)
    assert "beyond it by itself" in found.reason
    assert "not for sure among all rules of the set" in found.reason


def test_a_retention_that_means_nothing_hands_over_and_takes_the_worst() -> None:
    retention = {"kind": "retention", "at_least": 0.9}
    others = ({"kind": "perplexity_ratio", "at_most": 1.03}, {"kind": "kl", "at_most": 0.05})
    kept = judge_rules(rules(retention, *others), Evidence(answers=(GUESSED,), candidate=text()))
    assert kept.outcome == "pass"
    assert kept.reasons[0].endswith("handed over to perplexity_ratio (pass), kl (pass)")
    assert "retention.piqa: not informative: the baseline's 0.52" in kept.reasons[0]
    flips = {"kind": "flips", "at_most": 0.1}
    lost = judge_rules(rules(retention, *others, flips), Evidence(answers=(GUESSED,), candidate=text()))
    assert [each.outcome for each in lost.findings] == ["fail", "pass", "pass", "fail"]
    assert "flips.piqa (fail)" in lost.reasons[0]


def test_a_retention_hands_over_to_no_flips_of_another_benchmark() -> None:
    retention = {"kind": "retention", "benchmark": "piqa"}
    flips = {"kind": "flips", "benchmark": "arc_easy", "at_most": 0.1}
    other = flipped(both=600, gained=10, lost=200, neither=190, name="arc_easy")
    found = judge_rules(rules(retention, flips), Evidence(answers=(GUESSED, other))).findings[0]
    assert found.outcome == "warn"
    assert "no rule on perplexity, divergence or flips stands beside it" in found.reason


@pytest.mark.parametrize("choice", ["warn", "fail"])
def test_a_retention_that_nobody_takes_over_is_what_the_rule_says(choice: str) -> None:
    (found,) = findings_of({"kind": "retention", "undecided": choice}, GUESSED)
    assert (found.outcome, found.is_undecided) == (choice, True)


@pytest.mark.parametrize(
    "raw",
    [
        *({**kind, "benchmark": "arc_easy"} for kind in KINDS),
        {"kind": "perplexity_ratio"},
        {"kind": "kl", "at_most": 9},
        {"kind": "same_top1", "at_least": 0.01},
    ],
    ids=lambda raw: raw["kind"],
)
def test_what_was_not_measured_fails_whatever_the_limit(raw: dict[str, Any]) -> None:
    (found,) = findings_of(raw, GOOD)
    assert (found.outcome, found.figure) == ("fail", None)
    assert "not measured" in found.reason


def test_a_rule_over_every_benchmark_finds_one_thing_each() -> None:
    pairs = (GOOD, flipped(both=600, gained=10, lost=200, neither=190, name="arc_easy"))
    found = findings_of({"kind": "no_worse"}, *pairs)
    assert [(each.name, each.outcome) for each in found] == [("no_worse.piqa", "pass"), ("no_worse.arc_easy", "fail")]


def test_each_floor_is_judged_by_its_own_evidence_and_named() -> None:
    rule = {"kind": "perplexity_ratio", "at_most": 1.02}
    gate = rules(stages={"quantize": [rule], "waves": [rule]}, cumulative=[rule])
    own, all_of_it = Evidence(candidate=text(1.01)), Evidence(candidate=text(1.03))
    verdict = judge_rules(gate, own, first=all_of_it, stage="quantize")
    assert [(each.key, each.outcome) for each in verdict.findings] == [
        ("quantize.perplexity_ratio", "pass"),
        ("cumulative.perplexity_ratio", "fail"),
    ]
    assert verdict.reasons[0].startswith("floor of quantize: perplexity_ratio: 1.0100")
    assert verdict.reasons[1].startswith("cumulative, against the first model: perplexity_ratio: 1.0300")
    assert [each.key for each in judge_rules(gate, own).findings] == ["cumulative.perplexity_ratio"]


def test_rules_over_one_measurement_stand_beside_the_others() -> None:
    raw = {"measurement": "size", "kind": "at_most_ratio", "limit": 0.5}
    evidence = {"candidate": (measured("size", 40),), "baseline": (measured("size", 100),)}
    (found,) = findings_of(raw, **evidence)
    assert (found.name, found.outcome, found.figure) == ("size", "pass", 0.4)


def test_a_set_without_rules_has_judged_nothing_and_fails() -> None:
    assert judge_rules(RuleSet(), Evidence(answers=(GOOD,))).outcome == "fail"


def test_answers_to_two_benchmarks_are_no_pair() -> None:
    with pytest.raises(UnpairedError, match="cannot be compared with"):
        AnswerPair(candidate=GOOD.candidate, baseline=GOOD.baseline.model_copy(update={"benchmark": "arc_easy"}))
