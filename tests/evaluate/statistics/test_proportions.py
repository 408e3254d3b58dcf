"""Accuracy, its interval, and chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from birdbone.evaluate.errors import BadScoresError, BadSettingError, TooFewItemsError
from birdbone.evaluate.statistics.proportions import accuracy, share_deviation, wilson_interval

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.floats(0.5, 0.999))
def test_the_interval_is_that_of_statsmodels(count: tuple[int, int], confidence: float) -> None:
    expected = proportion_confint(*count, alpha=1 - confidence, method="wilson")
    assert wilson_interval(*count, confidence=confidence) == pytest.approx(expected, abs=1e-9)


@given(counts)
def test_right_and_wrong_mirror_each_other(count: tuple[int, int]) -> None:
    num_correct, num_items = count
    low, high = wilson_interval(num_correct, num_items)
    mirrored = wilson_interval(num_items - num_correct, num_items)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)
    assert 0 <= low <= num_correct / num_items <= high <= 1


def test_seven_of_ten_by_hand() -> None:
    # z = 1.96: centre (0.7 + 0.19207) / 1.38415 = 0.64449, reach sqrt(0.021 + 0.0096036) * 1.96 / 1.38415 = 0.24771
    found = accuracy([1, 1, 1, 1, 1, 1, 1, 0, 0, 0])
    assert (found.value, found.num_correct, found.num_items) == (0.7, 7, 10)
    assert (found.low, found.high) == pytest.approx((0.39678, 0.89220), abs=2e-4)


def test_two_standard_errors_are_the_border_of_chance() -> None:
    # Chance 0.5 and 100 items: the error at chance, 0.05, is the larger one, so 60 right answers are exactly two.
    at = accuracy(np.arange(100) < 60)
    assert at.standard_errors_above(0.5) == pytest.approx(2.0)
    assert accuracy(np.arange(100) < 61).is_above(0.5)
    assert not accuracy(np.arange(100) < 59).is_above(0.5)


def test_the_error_at_the_accuracy_counts_where_it_is_the_larger() -> None:
    # 32 of 100 against a chance of 0.2: sqrt(0.32 * 0.68 / 100) = 0.046648, and 0.12 / 0.046648 = 2.5725.
    assert accuracy(np.arange(100) < 32).standard_errors_above(0.2) == pytest.approx(2.5725, abs=1e-4)


def test_a_few_answers_all_right_do_not_prove_more_than_they_can() -> None:
    assert accuracy([1, 1]).standard_errors_above(0.5) == pytest.approx(math.sqrt(2))
    assert not accuracy([1, 1]).is_above(0.5)


def test_where_nothing_can_be_guessed_any_right_answers_only_are_above_chance() -> None:
    assert accuracy([1, 1, 1]).is_above(0.0)
    assert not accuracy([0, 0, 0]).is_above(0.0)


def test_below_chance_is_negative() -> None:
    assert accuracy([0, 0, 0, 1]).standard_errors_above(0.5) < 0


@pytest.mark.parametrize("bad", [[0, 1, 0.5], [0, 2], [1, -1], [1, np.nan]])
def test_what_is_neither_right_nor_wrong_is_refused(bad: list[float]) -> None:
    with pytest.raises(BadScoresError, match=r"item \d"):
        accuracy(bad)


def test_a_table_of_answers_is_refused() -> None:
    with pytest.raises(BadScoresError, match=r"\(2, 2\)"):
        accuracy([[0, 1], [1, 1]])


def test_no_items_are_refused() -> None:
    with pytest.raises(TooFewItemsError):
        accuracy([])
    with pytest.raises(TooFewItemsError):
        wilson_interval(0, 0)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, np.nan])
def test_a_level_that_is_no_share_is_refused(confidence: float) -> None:
    with pytest.raises(BadSettingError, match="confidence"):
        accuracy([0, 1], confidence=confidence)


@pytest.mark.parametrize("chance", [-0.1, 1.0, np.nan])
def test_a_chance_that_is_none_is_refused(chance: float) -> None:
    with pytest.raises(BadSettingError, match="chance"):
        accuracy([0, 1]).is_above(chance)


@pytest.mark.parametrize("num_correct", [-1, 4])
def test_more_right_answers_than_items_are_refused(num_correct: int) -> None:
    with pytest.raises(BadSettingError, match="0 to 3"):
        wilson_interval(num_correct, 3)


@given(st.integers(0, 80), st.integers(1, 80), st.floats(0.01, 0.99))
def test_a_share_lies_in_wilsons_interval_exactly_where_its_deviation_is_small(
    num_correct: int, num_items: int, share: float
) -> None:
    num_correct = min(num_correct, num_items)
    low, high = wilson_interval(num_correct, num_items)
    deviation = share_deviation(num_correct, num_items, share)
    if abs(abs(deviation) - 1.96) > 1e-3:
        assert (low <= share <= high) == (abs(deviation) < 1.96)


def test_a_share_worked_by_hand() -> None:
    assert share_deviation(30, 100, 0.5) == pytest.approx(-4)
    with pytest.raises(TooFewItemsError):
        share_deviation(0, 0, 0.5)
    with pytest.raises(BadSettingError, match="share"):
        share_deviation(1, 2, 0.0)
