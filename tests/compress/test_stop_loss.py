"""Which wave is good, which is on probation, which is undone: a table, and the laws behind it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import law

from birdbone.compress import WaveDecision, WaveVerdict, judge_wave
from birdbone.compress.config import StopLossConfig

CONFIG = StopLossConfig(max_rise=0.03, patience=2, max_total_rise=0.05)
perplexities = st.floats(1.0, 1e6)


@pytest.mark.parametrize(
    ("perplexity", "last_good", "num_on_probation", "verdict"),
    [
        (10.0, 10.0, 0, "good"),
        (9.0, 10.0, 0, "good"),
        (10.29, 10.0, 0, "good"),
        (10.29, 10.0, 1, "good"),
        (10.31, 10.0, 0, "probation"),
        (10.31, 10.0, 1, "undone"),
        (10.31, 10.0, 7, "undone"),
        (10.51, 10.4, 0, "probation"),  # within the limit of a wave, beyond that of the whole run
        (10.51, 10.4, 1, "undone"),
        (10.49, 10.4, 1, "good"),
        (math.inf, 10.0, 0, "probation"),
        (math.inf, 10.0, 1, "undone"),
        (math.nan, 10.0, 0, "probation"),
        (math.nan, 10.0, 1, "undone"),
    ],
)
def test_the_table_of_verdicts(
    perplexity: float, last_good: float, num_on_probation: int, verdict: WaveVerdict
) -> None:
    decision = judge_wave(perplexity, last_good=last_good, dense=10.0, num_on_probation=num_on_probation, config=CONFIG)
    assert decision.verdict == verdict


@law
@given(perplexity=perplexities, last_good=perplexities, dense=perplexities, num=st.integers(0, 5))
def test_a_wave_is_good_exactly_when_it_is_within_both_limits(
    perplexity: float, last_good: float, dense: float, num: int
) -> None:
    decision = judge_wave(perplexity, last_good=last_good, dense=dense, num_on_probation=num, config=CONFIG)
    is_within = perplexity / last_good - 1 <= 0.03 and perplexity / dense - 1 <= 0.05
    assert (decision.verdict == "good") == is_within
    assert (decision.rise, decision.total_rise) == (perplexity / last_good - 1, perplexity / dense - 1)


@law
@given(patience=st.integers(1, 6), num_on_probation=st.integers(0, 8))
def test_patience_is_the_number_of_waves_in_a_row_that_are_undone(patience: int, num_on_probation: int) -> None:
    config = StopLossConfig(patience=patience)
    decision = judge_wave(20.0, last_good=10.0, dense=10.0, num_on_probation=num_on_probation, config=config)
    assert decision.verdict == ("undone" if num_on_probation + 1 >= patience else "probation")


def judge_all(perplexities_in_turn: list[float], *, config: StopLossConfig = CONFIG) -> list[WaveDecision]:
    """Walk through waves as the theory of operation says, until one is undone. The dense model has 10."""
    last_good, num_on_probation, decisions = 10.0, 0, []
    for perplexity in perplexities_in_turn:
        decision = judge_wave(
            perplexity, last_good=last_good, dense=10.0, num_on_probation=num_on_probation, config=config
        )
        decisions.append(decision)
        if decision.verdict == "undone":
            break
        is_good = decision.verdict == "good"
        last_good = perplexity if is_good else last_good
        num_on_probation = 0 if is_good else num_on_probation + 1
    return decisions


@pytest.mark.parametrize(
    ("perplexities_in_turn", "verdicts"),
    [
        ([10.1, 10.2, 10.3], ["good", "good", "good"]),
        ([10.1, 10.45, 10.2], ["good", "probation", "good"]),
        ([10.45, 10.2, 10.48, 10.45], ["probation", "good", "good", "good"]),
        ([10.45, 10.2, 10.6, 10.4], ["probation", "good", "probation", "good"]),
        ([10.1, 10.45, 10.6, 10.0], ["good", "probation", "undone"]),
        ([math.nan, 10.0], ["probation", "good"]),
        ([math.nan, math.nan, 10.0], ["probation", "undone"]),
    ],
)
def test_a_recovery_ends_probation_and_two_bad_waves_in_a_row_end_the_waves(
    perplexities_in_turn: list[float], verdicts: list[str]
) -> None:
    assert [decision.verdict for decision in judge_all(perplexities_in_turn)] == verdicts


def test_small_rises_that_add_up_are_stopped_by_the_limit_over_the_dense_model() -> None:
    verdicts = [decision.verdict for decision in judge_all([10.25, 10.49, 10.75, 11.0])]
    assert verdicts == ["good", "good", "probation", "undone"]


def test_the_reason_names_the_limit_that_was_passed() -> None:
    decision = judge_wave(10.4, last_good=10.0, dense=10.0, num_on_probation=1, config=CONFIG)
    assert "over the last good state by +4.00%, limit +3.00%" in decision.reason
    assert "dense" not in decision.reason
    assert "2 waves in a row" in decision.reason
    assert "nan" in judge_wave(math.nan, last_good=10.0, dense=10.0, num_on_probation=0, config=CONFIG).reason
