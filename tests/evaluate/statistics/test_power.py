"""What a comparison can show: its formulas agree with each other and with the outcomes they foretell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.stats import binom

from birdbone.evaluate.errors import BadSettingError, TooFewItemsError
from birdbone.evaluate.statistics.pairs import Flips, score_mcnemar
from birdbone.evaluate.statistics.power import (
    detectable_difference,
    detectable_shift,
    least_detectable_difference,
    num_items_needed,
    paired_power,
)

discordances = st.floats(0.02, 0.9)
powers = st.floats(0.5, 0.99)
levels = st.floats(0.001, 0.2)


@given(st.integers(1, 100_000), discordances, powers, levels)
@example(num_items=1, discordance=0.875, power=0.875, level=0.15625)
def test_the_detectable_difference_has_the_power_it_was_asked_for(
    num_items: int, discordance: float, power: float, level: float
) -> None:
    difference = detectable_difference(num_items, discordance=discordance, power=power, level=level)
    settings = {"num_items": num_items, "discordance": discordance, "level": level}
    if difference is None:
        assert paired_power(discordance, **settings) < power + 1e-9
    else:
        assert paired_power(difference, **settings) == pytest.approx(power, abs=1e-9)


@given(st.floats(0.005, 0.5), discordances, powers, levels)
def test_the_number_of_items_is_the_smallest_that_suffices(
    difference: float, discordance: float, power: float, level: float
) -> None:
    assume(difference <= discordance)
    needed = num_items_needed(difference, discordance=discordance, power=power, level=level)
    settings = {"discordance": discordance, "level": level}
    assert paired_power(difference, num_items=needed, **settings) >= power - 1e-9
    if needed > 1:
        assert paired_power(difference, num_items=needed - 1, **settings) < power + 1e-9


@given(st.integers(10, 5000), discordances, st.floats(0, 1))
def test_the_sign_changes_nothing_and_more_items_show_more(num_items: int, discordance: float, share: float) -> None:
    difference = share * discordance
    power = paired_power(difference, num_items=num_items, discordance=discordance)
    assert paired_power(-difference, num_items=num_items, discordance=discordance) == power
    assert paired_power(difference, num_items=2 * num_items, discordance=discordance) >= power - 1e-12


@given(st.integers(100, 5000), st.floats(0.05, 0.4))
def test_fewer_flips_show_smaller_differences(num_items: int, discordance: float) -> None:
    few, many = (detectable_difference(num_items, discordance=share) for share in (discordance, 2 * discordance))
    assume(few is not None and many is not None)
    assert few < many


@pytest.mark.parametrize(
    ("num_items", "difference", "discordance"),
    [(200, 0.08, 0.2), (100, 0.15, 0.3), (500, 0.03, 0.1), (1000, 0.05, 0.4)],
)
def test_the_power_foretold_is_that_of_the_default_test(num_items: int, difference: float, discordance: float) -> None:
    """Summed over all outcomes; the normal approximation is within 3 points."""
    power = 0.0
    for num_flips in range(num_items + 1):
        chance = binom.pmf(num_flips, num_items, discordance)
        if chance < 1e-6:
            continue
        for gained, share in enumerate(binom.pmf(range(num_flips + 1), num_flips, (1 + difference / discordance) / 2)):
            if share > 1e-6:
                flips = Flips(gained=gained, lost=num_flips - gained, num_items=num_items)
                power += chance * share * (score_mcnemar(flips) <= 0.05)
    assert paired_power(difference, num_items=num_items, discordance=discordance) == pytest.approx(power, abs=0.03)


def test_eight_points_at_a_fifth_of_flips_by_hand() -> None:
    # (1.959964 * sqrt(0.2) + 0.841621 * sqrt(0.2 - 0.0064))**2 / 0.0064 = 1.246840**2 / 0.0064 = 242.9
    assert num_items_needed(0.08, discordance=0.2) == 243
    assert num_items_needed(-0.08, discordance=0.2) == 243
    assert detectable_difference(243, discordance=0.2) == pytest.approx(0.08, abs=1e-4)


def test_too_few_items_can_show_nothing_at_all() -> None:
    assert detectable_difference(3, discordance=0.5) is None
    assert detectable_difference(50, discordance=0.05) is None


def test_a_difference_that_the_flips_cannot_make_is_refused() -> None:
    with pytest.raises(BadSettingError, match=r"0\.3 cannot come from flips of 0\.2"):
        num_items_needed(0.3, discordance=0.2)
    with pytest.raises(BadSettingError, match="cannot come"):
        paired_power(float("nan"), num_items=10, discordance=0.2)


def test_no_difference_needs_no_number_of_items() -> None:
    with pytest.raises(BadSettingError, match="no number of items"):
        num_items_needed(0.0, discordance=0.2)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadSettingError, match="discordance"):
        paired_power(0.1, num_items=10, discordance=1.0)
    with pytest.raises(BadSettingError, match="level"):
        detectable_difference(10, discordance=0.2, level=5)
    with pytest.raises(BadSettingError, match="power"):
        num_items_needed(0.1, discordance=0.2, power=0.4)
    with pytest.raises(TooFewItemsError):
        detectable_difference(0, discordance=0.2)


def test_a_shift_is_found_as_often_as_promised() -> None:
    generator = np.random.default_rng(0)
    shift = detectable_shift(0.1, power=0.9)
    means = shift + 0.1 * generator.standard_normal(20_000)
    assert np.mean(np.abs(means) > 1.959964 * 0.1) == pytest.approx(0.9, abs=0.01)


def test_a_shift_worked_by_hand() -> None:
    assert detectable_shift(0.5) == pytest.approx(0.5 * (1.959964 + 0.841621))
    assert detectable_shift(0.0) == 0


@pytest.mark.parametrize("error", [-1.0, float("nan"), float("inf")])
def test_an_error_that_is_none_is_refused(error: float) -> None:
    with pytest.raises(BadSettingError, match="standard_error"):
        detectable_shift(error)


@given(st.integers(1, 10_000), powers, levels)
def test_less_than_the_least_difference_is_found_at_no_discordance(num_items: int, power: float, level: float) -> None:
    least = least_detectable_difference(num_items, power=power, level=level)
    for discordance in (0.001, 0.05, 0.3, 0.9, 0.999):
        found = detectable_difference(num_items, discordance=discordance, power=power, level=level)
        assert found is None or (least is not None and found >= least - 1e-12)
    if least is not None and least < 1 - 1e-9:
        reached = paired_power(least, num_items=num_items, discordance=least, level=level)
        assert reached == pytest.approx(power, abs=1e-3)
