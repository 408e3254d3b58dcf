"""Paired tests and differences: swapping the models mirrors them, and they keep what they promise."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar

from birdbone.evaluate.errors import BadScoresError, BadSettingError, TooFewItemsError, UnpairedError
from birdbone.evaluate.statistics.pairs import (
    Flips,
    accuracy_difference,
    count_flips,
    exact_mcnemar,
    flipped_items,
    mean_difference,
    mid_p_mcnemar,
    score_deviation,
    score_mcnemar,
)


def make_flips(gained: int, lost: int, others: int) -> Flips:
    return Flips(gained=gained, lost=lost, num_items=max(1, gained + lost + others))


def swapped(flips: Flips) -> Flips:
    return Flips(gained=flips.lost, lost=flips.gained, num_items=flips.num_items)


flips_drawn = st.builds(make_flips, st.integers(0, 300), st.integers(0, 300), st.integers(0, 2000))
answer_pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=100)
seeds = st.integers(0, 2**32 - 1)


@given(answer_pairs)
def test_flips_count_the_items_that_are_named_and_swap_with_the_models(pairs: list[tuple[bool, bool]]) -> None:
    candidate, baseline = zip(*pairs, strict=True)
    gained, lost = flipped_items(candidate, baseline)
    flips = count_flips(candidate, baseline)
    assert [place for place, (ours, theirs) in enumerate(pairs) if ours and not theirs] == gained.tolist()
    assert [place for place, (ours, theirs) in enumerate(pairs) if theirs and not ours] == lost.tolist()
    assert (flips.gained, flips.lost, flips.num_items) == (len(gained), len(lost), len(pairs))
    assert count_flips(baseline, candidate) == swapped(flips)
    assert flips.difference == pytest.approx(np.mean(candidate) - np.mean(baseline))


@given(flips_drawn)
def test_swapping_the_models_mirrors_the_difference_and_keeps_every_p_value(flips: Flips) -> None:
    forward, backward = accuracy_difference(flips), accuracy_difference(swapped(flips))
    assert (backward.value, backward.low, backward.high) == (-forward.value, -forward.high, -forward.low)
    for test in (score_mcnemar, exact_mcnemar, mid_p_mcnemar):
        assert test(swapped(flips)) == pytest.approx(test(flips))


@given(flips_drawn)
def test_the_exact_test_is_that_of_statsmodels_and_the_mid_p_is_below_it(flips: Flips) -> None:
    table = [[0, flips.gained], [flips.lost, 0]]
    assert exact_mcnemar(flips) == pytest.approx(mcnemar(table, exact=True).pvalue if flips.discordance else 1.0)
    assert 0 <= mid_p_mcnemar(flips) <= exact_mcnemar(flips) <= 1


@given(flips_drawn.filter(lambda flips: flips.discordance > 0))
def test_the_score_test_is_statsmodels_without_correction(flips: Flips) -> None:
    table = [[0, flips.gained], [flips.lost, 0]]
    expected = mcnemar(table, exact=False, correction=False).pvalue
    assert score_mcnemar(flips) == pytest.approx(expected, rel=1e-6)


@given(flips_drawn, st.floats(0.5, 0.999))
def test_the_interval_ends_where_the_score_test_begins_to_reject(flips: Flips, confidence: float) -> None:
    found = accuracy_difference(flips, confidence=confidence)
    assert -1 <= found.low <= found.value <= found.high <= 1
    quantile = NormalDist().inv_cdf(0.5 + confidence / 2)
    if found.high < 1 - 1e-6:
        assert score_deviation(flips, found.high) == pytest.approx(-quantile, rel=1e-4)
    if found.low > -1 + 1e-6:
        assert score_deviation(flips, found.low) == pytest.approx(quantile, rel=1e-4)


@given(flips_drawn)
def test_the_interval_leaves_0_out_exactly_if_the_default_test_rejects(flips: Flips) -> None:
    found = accuracy_difference(flips)
    if abs(found.p_value - 0.05) > 1e-6:
        assert (found.low <= 0 <= found.high) == (found.p_value > 0.05)


def test_the_score_error_uses_the_likeliest_shares_under_the_difference() -> None:
    """The closed form is the maximum of the likelihood, found here by search."""
    gained, lost, n, difference = 9, 4, 60, -0.1

    def unlikeliness(share_lost: float) -> float:
        shares = (share_lost + difference, share_lost, 1 - 2 * share_lost - difference)
        return -sum(k * math.log(share) for k, share in zip((gained, lost, n - gained - lost), shares, strict=True))

    bounds = (0.1 + 1e-9, 0.55 - 1e-9)
    best = minimize_scalar(unlikeliness, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    error = math.sqrt(n * (2 * best + difference * (1 - difference)))
    found = score_deviation(Flips(gained=gained, lost=lost, num_items=n), difference)
    assert found == pytest.approx((gained - lost - n * difference) / error, rel=1e-6)


def test_nine_gained_and_one_lost_by_hand() -> None:
    flips = Flips(gained=9, lost=1, num_items=100)
    assert exact_mcnemar(flips) == pytest.approx(22 / 1024)  # 2 (1 + 10) / 2**10
    assert mid_p_mcnemar(flips) == pytest.approx(12 / 1024)  # less 10 / 2**10
    assert score_mcnemar(flips) == pytest.approx(math.erfc(8 / math.sqrt(10) / math.sqrt(2)))
    assert (flips.difference, flips.discordance) == (0.08, 0.10)


def test_equal_directions_by_hand() -> None:
    flips = Flips(gained=2, lost=2, num_items=10)
    assert exact_mcnemar(flips) == 1
    assert mid_p_mcnemar(flips) == pytest.approx(1 - 3 / 16)  # half of 6 / 16
    assert score_mcnemar(flips) == 1


@pytest.mark.parametrize("num_items", [1, 50, 1000, 10**7])
def test_no_flips_still_leave_a_doubt_that_shrinks_with_the_items(num_items: int) -> None:
    found = accuracy_difference(Flips(gained=0, lost=0, num_items=num_items))
    square = 1.959964**2
    assert (found.low, found.value, found.p_value) == (-found.high, 0, 1)
    assert found.high == pytest.approx(square / (num_items + square), rel=1e-5)  # n d**2 = z**2 d (1 - d)
    assert mid_p_mcnemar(Flips(gained=0, lost=0, num_items=num_items)) == 1


def test_flips_all_one_way_reach_the_end_of_the_scale_and_not_beyond() -> None:
    found = accuracy_difference(Flips(gained=0, lost=20, num_items=20))
    assert (found.value, found.low) == (-1, -1)
    assert -1 < found.high < -0.5


def test_tangos_interval_holds_the_truth_about_as_often_as_it_says_even_near_the_ends() -> None:
    """Summed over all outcomes of 50 items: discordances from a fiftieth to two fifths."""
    for difference, discordance in [(0.0, 0.02), (-0.03, 0.05), (0.0, 0.2), (-0.08, 0.2), (-0.2, 0.4)]:
        rate = 0.0
        for num_flips in range(51):
            chance = binom.pmf(num_flips, 50, discordance)
            for gained in range(num_flips + 1) if chance > 1e-7 else ():
                found = accuracy_difference(Flips(gained=gained, lost=num_flips - gained, num_items=50))
                share = binom.pmf(gained, num_flips, (1 + difference / discordance) / 2)
                rate += chance * share * (found.low <= difference <= found.high)
        assert 0.935 <= rate <= 1


@given(seeds)
def test_swapping_the_models_mirrors_the_difference_of_means(seed: int) -> None:
    candidate, baseline = np.random.default_rng(seed).normal(size=(2, 20))
    forward = mean_difference(candidate, baseline, seed=1, num_resamples=400)
    backward = mean_difference(baseline, candidate, seed=1, num_resamples=400)
    assert backward.value == pytest.approx(-forward.value)
    assert (backward.low, backward.high) == pytest.approx((-forward.high, -forward.low))
    assert backward.p_value == pytest.approx(forward.p_value)


@given(seeds, st.floats(-5, 5))
def test_what_all_items_have_in_common_changes_nothing_between_the_models(seed: int, shift: float) -> None:
    candidate, baseline = np.random.default_rng(seed).normal(size=(2, 20))
    plain = mean_difference(candidate, baseline, seed=1, num_resamples=400)
    moved = mean_difference(candidate + shift, baseline + shift, seed=1, num_resamples=400)
    assert (moved.value, moved.low, moved.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-9)


def test_a_model_against_itself_differs_by_nothing() -> None:
    scores = np.linspace(0, 1, 30)
    found = mean_difference(scores, scores, seed=0)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_a_clear_difference_of_means_is_found_and_its_p_value_is_not_below_what_draws_can_show() -> None:
    generator = np.random.default_rng(0)
    baseline = generator.normal(size=50)
    found = mean_difference(baseline - 1 + 0.1 * generator.normal(size=50), baseline, seed=0, num_resamples=500)
    assert -1.1 < found.low < found.high < -0.9
    assert found.p_value == 1 / 500


def test_the_interval_of_a_difference_of_means_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        scores = generator.beta(2, 5, size=(2, 30))
        found = mean_difference(*scores, seed=0, num_resamples=400)
        covered += found.low <= 0 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_other_items_are_refused() -> None:
    with pytest.raises(UnpairedError, match="2 items, the baseline 3"):
        count_flips([1, 0], [1, 0, 1])
    with pytest.raises(UnpairedError, match="8 items, the baseline 9"):
        mean_difference(np.ones(8), np.ones(9), seed=0)


def test_scores_that_are_no_numbers_are_refused() -> None:
    scores = np.ones(8)
    scores[3] = np.inf
    with pytest.raises(BadScoresError, match="item 3 is inf"):
        mean_difference(scores, np.ones(8), seed=0)


def test_too_few_items_are_refused() -> None:
    with pytest.raises(TooFewItemsError, match="7 items are too few"):
        mean_difference(np.ones(7), np.ones(7), seed=0)
    with pytest.raises(TooFewItemsError):
        Flips(gained=0, lost=0, num_items=0)


@pytest.mark.parametrize(("gained", "lost"), [(-1, 0), (0, -1), (3, 3)])
def test_flips_that_do_not_fit_the_items_are_refused(gained: int, lost: int) -> None:
    with pytest.raises(BadSettingError, match="do not fit 5 items"):
        Flips(gained=gained, lost=lost, num_items=5)


def test_a_level_that_is_no_share_is_refused() -> None:
    with pytest.raises(BadSettingError, match="confidence"):
        accuracy_difference(Flips(gained=1, lost=1, num_items=5), confidence=1.0)
    with pytest.raises(BadSettingError, match="confidence"):
        mean_difference(np.ones(8), np.ones(8), seed=0, confidence=0.0)
