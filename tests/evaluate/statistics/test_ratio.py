"""Laws of the paired ratio, and how often its interval tells the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate import MIN_WINDOWS, NonFiniteLogitsError, TooFewWindowsError, UnpairedError, paired_ratio
from birdbone.evaluate.statistics import bootstrap_means, interval

seeds = st.integers(0, 2**32 - 1)


def likelihoods(seed: int, *, num_windows: int = 16, positions: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).gamma(3.0, 1.0, size=(num_windows, positions))


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_a_model_against_itself_is_exactly_one(seed: int) -> None:
    nll = likelihoods(seed)
    ratio = paired_ratio(nll, nll.copy(), seed=seed)
    assert (ratio.value, ratio.low, ratio.high) == (1.0, 1.0, 1.0)
    assert ratio.probability_above(1.0) == 0.0


@given(seeds, seeds)
@settings(max_examples=20, deadline=None)
def test_swapping_the_two_inverts_the_ratio_and_its_interval(one: int, other: int) -> None:
    a, b = likelihoods(one), likelihoods(other)
    forward, backward = paired_ratio(a, b, seed=1, num_resamples=400), paired_ratio(b, a, seed=1, num_resamples=400)
    assert backward.value == pytest.approx(1 / forward.value)
    assert backward.low == pytest.approx(1 / forward.high)
    assert backward.high == pytest.approx(1 / forward.low)


@given(seeds, st.floats(0.2, 5.0))
@settings(max_examples=20, deadline=None)
def test_a_harm_that_is_the_same_everywhere_is_known_exactly(seed: int, factor: float) -> None:
    nll = likelihoods(seed)
    ratio = paired_ratio(nll + np.log(factor), nll, seed=seed)
    assert [ratio.value, ratio.low, ratio.high] == pytest.approx([factor] * 3)


@given(seeds, st.permutations(range(16)))
@settings(max_examples=20, deadline=None)
def test_what_both_models_find_hard_does_not_widen_the_interval(seed: int, order: list[int]) -> None:
    baseline = likelihoods(seed)
    candidate = baseline + np.random.default_rng(seed).normal(0.02, 0.01, size=baseline.shape)
    hardness = np.linspace(0, 8, 16)[order, None]
    easy, hard = (paired_ratio(candidate + h, baseline + h, seed=0, num_resamples=400) for h in (0.0, hardness))
    assert (easy.low, easy.high) == pytest.approx((hard.low, hard.high))


def test_the_same_seed_gives_the_same_draws_and_another_gives_others() -> None:
    a, b = likelihoods(1), likelihoods(2)
    assert np.array_equal(paired_ratio(a, b, seed=5).draws_R, paired_ratio(a, b, seed=5).draws_R)
    assert not np.array_equal(paired_ratio(a, b, seed=5).draws_R, paired_ratio(a, b, seed=6).draws_R)


def test_the_probability_falls_with_the_bound_and_agrees_with_the_interval() -> None:
    ratio = paired_ratio(likelihoods(3), likelihoods(4), seed=0, num_resamples=4000)
    chances = [ratio.probability_above(bound) for bound in np.linspace(0.5, 2.0, 20)]
    assert chances == sorted(chances, reverse=True)
    assert ratio.probability_above(ratio.high) == pytest.approx(0.025, abs=0.002)
    assert ratio.probability_above(ratio.low) == pytest.approx(0.975, abs=0.002)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Skewed window means, 16 windows, 400 experiments: a nominal 95 % must cover in 92 to 98 of 100."""
    generator = np.random.default_rng(0)
    truth, covered = 3.0, 0
    for _ in range(400):
        sample = generator.gamma(9.0, truth / 9.0, size=16)
        low, high = interval(bootstrap_means(sample, generator=generator, num_resamples=400))
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_resampling_in_parts_is_the_same_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = likelihoods(0).mean(axis=1)
    whole = bootstrap_means(values, generator=np.random.default_rng(7), num_resamples=300)
    monkeypatch.setattr("birdbone.evaluate.statistics.bootstrap._MAX_COUNTS_IN_MEMORY", 16 * 7)
    parts = bootstrap_means(values, generator=np.random.default_rng(7), num_resamples=300)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_a_ratio_becomes_a_measurement_with_its_interval() -> None:
    ratio = paired_ratio(likelihoods(3), likelihoods(4), seed=0)
    row = ratio.measurement(artefact="b3:1")
    assert (row.name, row.value, row.low, row.high) == ("perplexity_ratio", ratio.value, ratio.low, ratio.high)
    assert row.sample_size == 16 * 20
    assert "paired over 16 windows" in row.method


def test_likelihoods_of_other_items_are_refused() -> None:
    with pytest.raises(UnpairedError, match=r"\(16, 20\), the baseline \(16, 19\)"):
        paired_ratio(likelihoods(0), likelihoods(0)[:, :-1], seed=0)


def test_too_few_windows_are_refused() -> None:
    few = likelihoods(0)[: MIN_WINDOWS - 1]
    with pytest.raises(TooFewWindowsError, match="7 windows are too few for an interval; at least 8"):
        paired_ratio(few, few, seed=0)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_likelihood_that_is_no_number_is_refused(poison: float) -> None:
    broken = likelihoods(0)
    broken[3, 4] = poison
    with pytest.raises(NonFiniteLogitsError, match="token 5 of window 3"):
        paired_ratio(broken, likelihoods(1), seed=0)
