"""What each rule says of readings whose figures are known by hand, and laws for any reading."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate import BadSettingError, TooFewWindowsError
from birdbone.evaluate.damage import PairedReading, Tolerance, judge_reading
from birdbone.evaluate.damage.rules import WindowRule, judge_windows
from birdbone.evaluate.damage.verdict import outcome_of


def reading(kl_NP: np.ndarray, jump_NP: np.ndarray | None = None) -> PairedReading:
    jump_NP = np.zeros_like(kl_NP) if jump_NP is None else jump_NP
    return PairedReading(kl_NP=kl_NP, jump_NP=jump_NP, same_NP=kl_NP < 1, ids_NP=np.zeros(kl_NP.shape, dtype=np.int64))


def outcomes(one: PairedReading, nats: float) -> dict[str, str]:
    return {each.rule: each.outcome for each in judge_reading(one, Tolerance(nats=nats), seed=0)}


def drawn(seed: int) -> PairedReading:
    generator = np.random.default_rng(seed)
    kl_NP = np.exp(generator.normal(-5, 1.5, size=(12, 16)))
    return reading(kl_NP, kl_NP + generator.normal(0, np.sqrt(2 * kl_NP)))


def test_a_model_that_did_not_change_is_within_every_limit() -> None:
    assert set(outcomes(reading(np.zeros((8, 4))), 1e-6).values()) == {"within"}


def test_a_divergence_that_is_the_same_everywhere_is_above_or_within_by_its_size_alone() -> None:
    assert outcomes(reading(np.full((8, 4), 0.02)), 0.01)["divergence"] == "above"
    assert outcomes(reading(np.full((8, 4), 0.005)), 0.01)["divergence"] == "within"


def test_what_diverges_late_is_found_though_the_mean_is_within_the_tolerance() -> None:
    kl_NP = np.zeros((8, 16))
    kl_NP[:, 12:] = 0.03  # 0.0075 over the whole window, 0.03 over its last quarter
    assert outcomes(reading(kl_NP), 0.01) == {
        "divergence": "within",
        "late_divergence": "above",
        "loss": "within",
        "wrecked": "within",
    }


def test_wrecked_positions_are_found_though_the_mean_is_within_the_tolerance() -> None:
    kl_NP = np.zeros((8, 100))
    kl_NP[:, 3] = 1.5  # 0.015 a position; 1 % of them wrecked, of which 0.03 allows 0.75 % and 0.05 allows 1.25 %
    assert outcomes(reading(kl_NP), 0.03)["wrecked"] == "above"
    assert outcomes(reading(kl_NP), 0.03)["divergence"] == "within"
    assert set(outcomes(reading(kl_NP), 0.05).values()) == {"within"}


def test_a_loss_that_rises_more_than_the_divergence_is_an_alarm() -> None:
    found = outcomes(reading(np.full((8, 4), 0.001), np.full((8, 4), 0.03)), 0.01)
    assert (found["loss"], found["divergence"]) == ("above", "within")


def test_windows_that_disagree_leave_it_undecided_and_that_is_no_acceptance() -> None:
    kl_NP = np.repeat(np.tile([0.001, 0.018], 4)[:, None], 4, axis=1)
    found = judge_reading(reading(kl_NP), Tolerance(), seed=0)
    assert found[0].outcome == "undecided"
    assert found[0].low < found[0].value < found[0].limit < found[0].high
    assert outcome_of(found) == "undecided"


@given(st.integers(0, 10_000), st.floats(0.003, 0.3), st.floats(1.01, 10))
@settings(max_examples=15, deadline=None)
def test_who_allows_more_accepts_no_less(seed: int, nats: float, times: float) -> None:
    strict, lenient = (outcomes(drawn(seed), each) for each in (nats, nats * times))
    order = ["within", "undecided", "above"]
    assert all(order.index(lenient[rule]) <= order.index(strict[rule]) for rule in ("divergence", "late_divergence"))


@given(st.integers(0, 10_000), st.floats(0.003, 0.3))
@settings(max_examples=15, deadline=None)
def test_an_outcome_agrees_with_its_figures(seed: int, nats: float) -> None:
    for found in judge_reading(drawn(seed), Tolerance(nats=nats), seed=0):
        assert found.low <= found.high
        if found.outcome == "above":
            assert found.low > found.limit
        if found.outcome == "within" and "divergence" in found.rule:
            assert found.high <= found.limit


def test_a_candidate_at_its_limit_is_seldom_accepted() -> None:
    generator, limit = np.random.default_rng(0), float(np.exp(0.5))
    accepted = 0
    for number in range(150):
        values_N = np.exp(generator.normal(size=32))  # skewed: their mean is exp(1/2), their median 1
        rule = WindowRule(
            rule="divergence", words="", values_N=values_N, limit=limit, unit="nat/token", must_be_shown=True
        )
        accepted += judge_windows([rule], level=0.01, seed=number)[0].outcome == "within"
    assert accepted <= 7  # 1.5 are expected at 1 %; a chance of 1 in 2,000 for more than 7


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(TooFewWindowsError):
        judge_reading(reading(np.zeros((7, 4))), Tolerance(), seed=0)


@pytest.mark.parametrize("wrong", [{"nats": 0.0}, {"nats": float("inf")}, {"level": 0.0}, {"level": 0.5}])
def test_a_tolerance_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadSettingError):
        Tolerance(**wrong)
