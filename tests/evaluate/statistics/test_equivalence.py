"""No worse than a margin: what counts as sure, and that it is seldom said wrongly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from birdbone.evaluate.errors import BadSettingError, TooFewItemsError, UnpairedError
from birdbone.evaluate.statistics import PairedRatio, paired_ratio
from birdbone.evaluate.statistics.equivalence import accuracy_equivalence, mean_equivalence, perplexity_equivalence
from birdbone.evaluate.statistics.pairs import Flips, accuracy_difference

flips_drawn = st.builds(
    lambda gained, lost, others: Flips(gained=gained, lost=lost, num_items=gained + lost + others),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(1, 2000),
)
margins = st.floats(0.005, 0.3)
MIRRORED = {"equivalent": "equivalent", "undecided": "undecided", "better": "worse", "worse": "better"}


def ratio_of(mean: float, spread: float, *, num_windows: int = 40, seed: int = 0) -> PairedRatio:
    generator = np.random.default_rng(seed)
    baseline = generator.gamma(3.0, 1.0, size=(num_windows, 5))
    shift = generator.normal(size=(num_windows, 1))
    shift = (shift - shift.mean()) / shift.std()
    return paired_ratio(baseline + np.log(mean) + spread * shift, baseline, seed=0)


@given(flips_drawn, margins)
def test_the_verdict_is_where_the_interval_lies(flips: Flips, margin: float) -> None:
    found = accuracy_equivalence(flips, margin=margin, is_two_sided=True)
    interval = accuracy_difference(flips, confidence=0.90)
    assert (found.low, found.high) == (interval.low, interval.high)
    if min(abs(end - bound) for end in (found.low, found.high) for bound in (-margin, margin)) > 1e-9:
        expected = "undecided"
        if -margin < found.low and found.high < margin:
            expected = "equivalent"
        elif found.high < -margin:
            expected = "worse"
        elif found.low > margin:
            expected = "better"
        assert found.verdict == expected


@given(flips_drawn, margins)
def test_swapping_the_models_mirrors_the_verdict_on_equality(flips: Flips, margin: float) -> None:
    swapped = Flips(gained=flips.lost, lost=flips.gained, num_items=flips.num_items)
    forward = accuracy_equivalence(flips, margin=margin, is_two_sided=True)
    backward = accuracy_equivalence(swapped, margin=margin, is_two_sided=True)
    assert (backward.low, backward.high) == (-forward.high, -forward.low)
    assert backward.p_value == pytest.approx(forward.p_value)
    if abs(forward.p_value - 0.05) > 1e-9:
        assert backward.verdict == MIRRORED[forward.verdict]


@given(flips_drawn, margins, st.floats(1.01, 3.0))
def test_a_wider_margin_is_never_harder_to_meet(flips: Flips, margin: float, factor: float) -> None:
    narrow = accuracy_equivalence(flips, margin=margin)
    wide = accuracy_equivalence(flips, margin=min(0.99, margin * factor))
    assert wide.p_value <= narrow.p_value + 1e-12


@given(flips_drawn, margins)
def test_equality_is_never_easier_than_no_worse(flips: Flips, margin: float) -> None:
    one, both = (accuracy_equivalence(flips, margin=margin, is_two_sided=is_both) for is_both in (False, True))
    assert both.p_value >= one.p_value


def test_a_hundred_items_without_a_flip_by_hand() -> None:
    # No flips of 100: were the loss 0.02, the chance of an item being lost would be 0.02, and the deviation
    # 2 / sqrt(100 * 0.02 * 0.98) = 1.4286, which is exceeded with 0.0766. At 0.03: 3 / sqrt(2.91) = 1.7586, 0.0393.
    flips = Flips(gained=0, lost=0, num_items=100)
    assert accuracy_equivalence(flips, margin=0.02).p_value == pytest.approx(0.0766, abs=1e-4)
    assert accuracy_equivalence(flips, margin=0.02).verdict == "undecided"
    assert accuracy_equivalence(flips, margin=0.03).p_value == pytest.approx(0.0393, abs=1e-4)
    assert accuracy_equivalence(flips, margin=0.03).verdict == "equivalent"


def test_no_difference_found_is_not_the_same_as_none_there() -> None:
    few = Flips(gained=4, lost=5, num_items=40)
    assert accuracy_difference(few).p_value > 0.5
    assert accuracy_equivalence(few, margin=0.03).verdict == "undecided"


def test_a_real_but_harmless_loss_is_no_worse_and_a_large_one_is_worse() -> None:
    harmless = Flips(gained=100, lost=180, num_items=10_000)
    assert accuracy_difference(harmless).p_value < 0.001
    assert accuracy_equivalence(harmless, margin=0.02).verdict == "equivalent"
    assert accuracy_equivalence(Flips(gained=10, lost=150, num_items=1000), margin=0.02).verdict == "worse"


def test_a_gain_is_no_worse_but_not_equal() -> None:
    gain = Flips(gained=150, lost=10, num_items=1000)
    assert accuracy_equivalence(gain, margin=0.02).verdict == "equivalent"
    assert accuracy_equivalence(gain, margin=0.02, is_two_sided=True).verdict == "better"


@pytest.mark.parametrize("discordance", [0.06, 0.2])
def test_a_candidate_at_the_margin_is_seldom_called_no_worse(discordance: float) -> None:
    """Summed over all outcomes of 200 items, with a true loss of 5 points: about 5 of 100."""
    rate = 0.0
    for num_flips in range(201):
        chance = binom.pmf(num_flips, 200, discordance)
        for gained in range(num_flips + 1) if chance > 1e-6 else ():
            share = binom.pmf(gained, num_flips, (1 - 0.05 / discordance) / 2)
            if chance * share > 1e-9:
                flips = Flips(gained=gained, lost=num_flips - gained, num_items=200)
                rate += chance * share * (accuracy_equivalence(flips, margin=0.05).verdict == "equivalent")
    assert 0.03 <= rate <= 0.055


@pytest.mark.parametrize(
    ("mean", "spread", "verdict"),
    [(1.0, 0.02, "equivalent"), (1.0, 0.5, "undecided"), (1.1, 0.02, "worse"), (0.9, 0.02, "better")],
)
def test_a_ratio_of_perplexities_is_judged_by_its_draws(mean: float, spread: float, verdict: str) -> None:
    found = perplexity_equivalence(ratio_of(mean, spread), is_two_sided=True)
    assert found.verdict == verdict
    assert found.low < mean < found.high


def test_a_lower_perplexity_is_no_worse() -> None:
    assert perplexity_equivalence(ratio_of(0.9, 0.02)).verdict == "equivalent"


def test_a_ratio_at_the_margin_of_three_percent_is_undecided_and_its_p_value_a_half() -> None:
    found = perplexity_equivalence(ratio_of(1.03, 0.02))
    assert found.verdict == "undecided"
    assert found.p_value == pytest.approx(0.5, abs=0.1)


def test_the_p_value_of_a_ratio_is_the_share_of_draws_above_the_margin() -> None:
    ratio = ratio_of(1.02, 0.03)
    found = perplexity_equivalence(ratio)
    assert found.p_value == pytest.approx(ratio.probability_above(1.03), abs=1e-9)
    assert 0 < found.p_value < 0.1


def test_a_model_against_itself_is_equal_by_every_measure() -> None:
    nll, scores = np.random.default_rng(0).gamma(3.0, 1.0, size=(10, 4)), np.linspace(0, 1, 10)
    assert perplexity_equivalence(paired_ratio(nll, nll, seed=0), is_two_sided=True).p_value == 0
    assert mean_equivalence(scores, scores, margin=0.01, seed=0, is_two_sided=True).verdict == "equivalent"


def test_means_are_judged_by_their_paired_difference() -> None:
    generator = np.random.default_rng(0)
    baseline = generator.normal(0, 5, size=200)
    for shift, verdict in ((0.0, "equivalent"), (-0.3, "worse"), (0.3, "better")):
        candidate = baseline + shift + 0.1 * generator.normal(size=200)
        assert mean_equivalence(candidate, baseline, margin=0.1, seed=0, is_two_sided=True).verdict == verdict
    unpaired = generator.permutation(baseline)
    assert mean_equivalence(unpaired, baseline, margin=0.1, seed=0).verdict == "undecided"


@pytest.mark.parametrize("margin", [0.0, -0.1, np.nan, np.inf])
def test_a_margin_that_allows_nothing_or_everything_is_refused(margin: float) -> None:
    with pytest.raises(BadSettingError, match="margin"):
        accuracy_equivalence(Flips(gained=1, lost=1, num_items=9), margin=margin)
    with pytest.raises(BadSettingError, match="margin"):
        perplexity_equivalence(ratio_of(1.0, 0.1), margin=margin)
    with pytest.raises(BadSettingError, match="margin"):
        mean_equivalence(np.ones(8), np.ones(8), margin=margin, seed=0)


@pytest.mark.parametrize("level", [0.0, 0.5, 5.0, np.nan])
def test_a_level_out_of_range_is_refused(level: float) -> None:
    with pytest.raises(BadSettingError, match="level"):
        accuracy_equivalence(Flips(gained=1, lost=1, num_items=9), margin=0.1, level=level)


def test_items_that_do_not_pair_or_are_too_few_are_refused() -> None:
    with pytest.raises(UnpairedError):
        mean_equivalence(np.ones(8), np.ones(9), margin=0.1, seed=0)
    with pytest.raises(TooFewItemsError):
        mean_equivalence(np.ones(7), np.ones(7), margin=0.1, seed=0)
