"""Retention above chance: its laws, and where there is no number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.evaluate.errors import BadScoresError, BadSettingError, UnpairedError
from birdbone.evaluate.statistics.proportions import accuracy
from birdbone.evaluate.statistics.retention import NotInformative, Retention, retention, retention_deviation

rights = st.lists(st.booleans(), min_size=20, max_size=200)
chances = st.sampled_from([0.0, 0.2, 0.25, 0.5])


def answers(both: int, gained: int, lost: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = [both, gained, lost, neither]
    return np.repeat([1, 1, 0, 0], sizes), np.repeat([1, 0, 1, 0], sizes)


@given(rights, chances)
def test_the_baseline_keeps_all_of_itself(correct: list[bool], chance: float) -> None:
    found = retention(correct, correct, chance=chance)
    if isinstance(found, Retention):
        assert found.value == 1
        assert found.low < 1 < found.high


@given(rights, chances)
def test_a_number_is_given_only_above_chance(correct: list[bool], chance: float) -> None:
    is_number = isinstance(retention(correct, correct, chance=chance, confidence=0.9), Retention)
    assert not is_number or accuracy(correct).is_above(chance)


@given(st.tuples(*[st.integers(0, 60)] * 4).filter(lambda sizes: sum(sizes) >= 20), chances)
def test_the_value_lies_in_its_interval_and_a_surer_one_is_wider(sizes: tuple[int, ...], chance: float) -> None:
    usual, surer = (retention(*answers(*sizes), chance=chance, confidence=level) for level in (0.8, 0.95))
    if isinstance(usual, Retention) and isinstance(surer, Retention):
        assert usual.low <= usual.value <= usual.high
        assert surer.low <= usual.low
        assert usual.high <= surer.high


def test_half_of_what_was_above_chance_by_hand() -> None:
    # 110 of 200 before, 80 of 200 after, chance 0.25: (0.40 - 0.25) / (0.55 - 0.25) = 1 / 2.
    found = retention(*answers(70, 10, 40, 80), chance=0.25)
    assert isinstance(found, Retention)
    assert found.value == pytest.approx(0.5)
    assert found.num_items == 200
    # Fieller by hand with n = 201, shares 80.5, 110.5 and 70 of it, and 1.96**2 / 201 = 0.019112:
    # a = 0.29975**2 - 0.019112 * 0.24751 = 0.085120; b = 0.15050 * 0.29975 - 0.019112 * 0.12808 = 0.042664;
    # c = 0.15050**2 - 0.019112 * 0.24010 = 0.018060; root = sqrt(b**2 - a c) = 0.016817; (b -+ root) / a.
    assert (found.low, found.high) == pytest.approx((0.3037, 0.6988), abs=5e-4)


def test_a_candidate_at_chance_keeps_nothing() -> None:
    found = retention(*answers(30, 20, 90, 60), chance=0.25)
    assert isinstance(found, Retention)
    assert found.value == 0
    assert found.low < 0 < found.high


def test_a_baseline_at_chance_gives_no_number_but_the_reason() -> None:
    found = retention(*answers(10, 5, 18, 67), chance=0.25)
    assert isinstance(found, NotInformative)
    assert "0.28 lies 0.67 standard errors above the chance of 0.25" in found.reason
    assert not hasattr(found, "value")


def test_at_two_errors_a_surer_interval_has_no_ends_and_so_no_number() -> None:
    candidate, baseline = answers(61, 0, 0, 39)  # 2.2 standard errors above 0.5
    assert isinstance(retention(candidate, baseline, chance=0.5), Retention)
    assert isinstance(retention(candidate, baseline, chance=0.5, confidence=0.99), NotInformative)


def test_what_both_models_find_hard_narrows_the_interval() -> None:
    paired = retention(*answers(100, 10, 20, 70), chance=0.25)
    crossed = retention(*answers(60, 50, 60, 30), chance=0.25)
    assert isinstance(paired, Retention)
    assert isinstance(crossed, Retention)
    assert paired.value == crossed.value
    assert paired.high - paired.low < 0.6 * (crossed.high - crossed.low)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Accuracies 0.55 and 0.60, chance 0.25, 100 items: 92.5 to 98 of 100 experiments of 600."""
    generator = np.random.default_rng(0)
    covered = 0
    for sizes in generator.multinomial(100, [0.50, 0.05, 0.10, 0.35], size=600):
        found = retention(*answers(*sizes), chance=0.25)
        assert isinstance(found, Retention)
        covered += found.low <= 0.30 / 0.35 <= found.high
    assert 0.925 <= covered / 600 <= 0.98


def test_other_items_are_refused() -> None:
    with pytest.raises(UnpairedError, match="3 items, the baseline 2"):
        retention([1, 0, 1], [1, 0], chance=0.25)


def test_settings_and_answers_out_of_range_are_refused() -> None:
    with pytest.raises(BadSettingError, match="chance"):
        retention([1, 0], [1, 0], chance=1.0)
    with pytest.raises(BadSettingError, match="confidence"):
        retention([1, 0], [1, 0], chance=0.5, confidence=95)
    with pytest.raises(BadScoresError):
        retention([1, 0.5], [1, 0], chance=0.5)


@given(st.tuples(*[st.integers(0, 60)] * 4).filter(lambda sizes: sum(sizes) >= 20), chances, st.floats(0.1, 1.9))
def test_a_bound_lies_in_the_interval_exactly_where_its_deviation_is_small(
    sizes: tuple[int, ...], chance: float, bound: float
) -> None:
    found = retention(*answers(*sizes), chance=chance, confidence=0.95)
    deviation = retention_deviation(*answers(*sizes), chance=chance, bound=bound)
    if isinstance(found, Retention) and abs(abs(deviation) - 1.96) > 1e-3 and abs(bound - found.value) > 1e-9:
        is_beyond = bound > found.high if bound > found.value else bound < found.low
        assert is_beyond == (deviation < -1.96 if bound > found.value else deviation > 1.96)


def test_a_deviation_worked_by_hand() -> None:
    # The shares of the example above: 80.5, 110.5 and 70 of 201. At a retention of 1 the excess is -30 / 201, and the
    # variance 0.24010 - 2 * 0.12808 + 0.24751 = 0.23145: -0.14925 / sqrt(0.23145 / 201) = -4.398.
    assert retention_deviation(*answers(70, 10, 40, 80), chance=0.25, bound=1) == pytest.approx(-4.398, abs=2e-3)
