"""Gates: what passes, what does not, and what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from birdbone.core import Measurement
from birdbone.evaluate import AmbiguousMeasurementError, EvaluateConfig, GateRule, Verdict, judge

figures = st.floats(0.01, 1e6)


def measured(name: str, value: float, **fields: object) -> Measurement:
    return Measurement.model_validate(
        {"name": name, "value": value, "unit": "1", "method": "by hand", "artefact": "b3:0", **fields}
    )


def rule(kind: str = "at_most_ratio", limit: float = 1.03, **fields: object) -> GateRule:
    return GateRule.model_validate({"measurement": "perplexity", "kind": kind, "limit": limit, **fields})


def verdict_on(value: float, baseline: float = 10.0, **fields: object) -> Verdict:
    return judge([rule(**fields)], [measured("perplexity", value)], [measured("perplexity", baseline)])  # type: ignore[arg-type]


@given(figures, figures, st.sampled_from(["at_most", "at_least", "at_most_ratio", "at_least_ratio"]), figures)
def test_a_verdict_is_pass_exactly_when_the_comparison_holds(
    value: float, base: float, kind: str, limit: float
) -> None:
    figure = value / base if kind.endswith("ratio") else value
    holds = figure <= limit if kind.startswith("at_most") else figure >= limit
    assert verdict_on(value, base, kind=kind, limit=limit).outcome == ("pass" if holds else "fail")


@given(st.lists(st.sampled_from(["pass", "warn", "fail"]), min_size=1, max_size=6))
def test_the_worst_rule_decides_and_each_rule_has_one_reason(outcomes: list[str]) -> None:
    value = {"pass": 1.0, "warn": 2.5, "fail": 9.0}
    rules = [rule("at_most", 3.0, warn=2.0, measurement=f"m{i}") for i in range(len(outcomes))]
    verdict = judge(rules, [measured(f"m{i}", value[name]) for i, name in enumerate(outcomes)], [])
    assert [finding.outcome for finding in verdict.findings] == outcomes
    assert verdict.outcome == max(outcomes, key=["pass", "warn", "fail"].index)
    assert len(verdict.reasons) == len(outcomes)


def test_reasons_are_plain_words_with_the_figures() -> None:
    assert verdict_on(10.1).reasons == ("perplexity: 10.1 is 1.01 times the baseline's 10; at most 1.03 is required",)
    assert verdict_on(10.25, warn=1.02).reasons == (
        "perplexity: 10.25 is 1.025 times the baseline's 10; at most 1.02 was hoped for, at most 1.03 is required",
    )
    slow = judge(
        [rule("at_least", 80, measurement="decode_rate")], [measured("decode_rate", 54.25, unit="token/s")], []
    )
    assert slow.reasons == ("decode_rate: 54.25 token/s; at least 80 is required",)
    assert slow.outcome == "fail"


@pytest.mark.parametrize(
    ("candidate", "baseline", "reason"),
    [
        ([], [measured("perplexity", 10)], "not measured"),
        ([measured("perplexity", 10)], [], "not measured on the baseline"),
        ([measured("perplexity", 10, basis="estimated")], [measured("perplexity", 10)], "not measured, only estimated"),
        ([measured("perplexity", 10)], [measured("perplexity", 10, unit="nat")], "in 1, but on the baseline in nat"),
        ([measured("perplexity", 10)], [measured("perplexity", 0)], "10 against 0 on the baseline has no ratio"),
    ],
)
def test_what_has_no_figure_fails_and_never_passes(
    candidate: list[Measurement], baseline: list[Measurement], reason: str
) -> None:
    verdict = judge([rule(limit=1e9)], candidate, baseline)
    assert verdict.outcome == "fail"
    assert verdict.findings[0].figure is None
    assert reason in verdict.reasons[0]


def test_a_gate_without_rules_has_judged_nothing_and_fails() -> None:
    assert judge([], [measured("perplexity", 1)], []) == Verdict(outcome="fail", findings=())


def test_a_rule_may_accept_an_estimate() -> None:
    estimate = [measured("bytes_per_token", 10, basis="estimated")]
    lenient = rule("at_most", 20, measurement="bytes_per_token", accepts_estimates=True)
    assert judge([lenient], estimate, []).outcome == "pass"


def test_a_rule_on_the_interval_judges_its_worse_end() -> None:
    ratio = measured("perplexity", 1.01, low=0.99, high=1.05)
    upper, lower = (rule(kind, limit, judged_by="interval") for kind, limit in (("at_most", 1.03), ("at_least", 0.98)))
    verdict = judge([upper, lower], [ratio], [])
    assert [finding.outcome for finding in verdict.findings] == ["fail", "pass"]
    assert "1.01, upper end of the 95 % interval 1.05; at most 1.03 is required" in verdict.reasons[0]
    assert judge([upper], [measured("perplexity", 1.0)], []).reasons == ("perplexity: its interval was not measured",)


@pytest.mark.parametrize("whose", ["candidate", "baseline"])
def test_two_measurements_of_one_name_are_refused(whose: str) -> None:
    twice = [measured("perplexity", 1), measured("perplexity", 2)]
    sides = {"candidate": [measured("perplexity", 1)], "baseline": [measured("perplexity", 1)], whose: twice}
    with pytest.raises(AmbiguousMeasurementError, match=f"The {whose} has two measurements 'perplexity'"):
        judge([rule()], sides["candidate"], sides["baseline"])


@pytest.mark.parametrize(
    "fields",
    [
        {"warn": 1.04},
        {"kind": "at_least", "warn": 1.0},
        {"judged_by": "interval"},
        {"limit": float("nan")},
        {"kind": "below"},
        {"treshold": 1},
    ],
)
def test_a_rule_that_cannot_mean_anything_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        rule(**{"kind": "at_most_ratio", "limit": 1.03, **fields})  # type: ignore[arg-type]


def test_the_default_gate_is_three_percent_of_perplexity() -> None:
    gate = EvaluateConfig().gate
    assert judge(gate, [measured("perplexity_ratio", 1.019)], []).outcome == "pass"
    assert judge(gate, [measured("perplexity_ratio", 1.025)], []).outcome == "warn"
    assert judge(gate, [measured("perplexity_ratio", 1.031)], []).outcome == "fail"
