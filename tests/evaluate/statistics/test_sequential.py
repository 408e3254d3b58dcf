"""The running mean: it may be looked at whenever one likes, and still tells the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.evaluate.errors import BadScoresError, BadSettingError
from birdbone.evaluate.statistics.sequential import RunningMean

values_drawn = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=60)
FEW = 201


@given(values_drawn)
def test_the_interval_only_shrinks(values: list[float]) -> None:
    running = RunningMean(num_means=FEW)
    low, high = running.interval
    assert (low, high) == (-1, 1)
    for value in values:
        low_before, high_before = low, high
        low, high = running.update([value])
        assert low_before <= low < high <= high_before


@given(values_drawn, st.integers(1, 20))
def test_values_in_waves_give_what_they_give_at_once(values: list[float], size: int) -> None:
    whole, waves = RunningMean(num_means=FEW), RunningMean(num_means=FEW)
    whole.update(values)
    for begin in range(0, len(values), size):
        waves.update(values[begin : begin + size])
    assert waves.interval == pytest.approx(whole.interval, abs=0.011)  # a rounding may decide at a point of the grid
    assert (waves.e_value, waves.p_value) == pytest.approx((whole.e_value, whole.p_value))
    assert (waves.num_values, waves.mean) == (whole.num_values, pytest.approx(whole.mean))


@given(values_drawn)
def test_swapping_the_models_mirrors_the_interval_and_keeps_the_evidence(values: list[float]) -> None:
    forward, backward = RunningMean(num_means=FEW), RunningMean(num_means=FEW)
    low, high = forward.update(values)
    assert backward.update([-value for value in values]) == pytest.approx((-high, -low), abs=0.011)
    assert backward.e_value == pytest.approx(forward.e_value)


@given(values_drawn, st.floats(-3, 3), st.floats(0.1, 10))
def test_other_units_give_the_same_in_those_units(values: list[float], shift: float, scale: float) -> None:
    plain = RunningMean(num_means=FEW)
    moved = RunningMean(null=shift, low=shift - scale, high=shift + scale, num_means=FEW)
    low, high = plain.update(values)
    moved_ends = moved.update([min(max(shift + scale * v, shift - scale), shift + scale) for v in values])
    assert moved_ends == pytest.approx((shift + scale * low, shift + scale * high), abs=0.011 * scale)
    assert moved.e_value == pytest.approx(plain.e_value)


@given(values_drawn)
def test_where_the_interval_leaves_the_null_out_the_evidence_has_reached_its_level(values: list[float]) -> None:
    running = RunningMean(num_means=FEW)
    low, high = running.update(values)
    if not low <= 0 <= high:
        assert running.p_value <= 0.05
    assert 0 < running.p_value <= 1
    assert 1 / running.p_value >= running.e_value * (1 - 1e-9)


@given(st.sampled_from([-1.0, 0.0, 0.5]), st.sampled_from([-0.9, 0.3, 0.7]))
def test_the_bets_are_fair(null: float, reach: float) -> None:
    """Two values as likely as each other, with the null as their mean: no gambler gains on average."""
    running = RunningMean(null=0.1, num_means=3)
    running.update([0.5, null, 0.3])
    capitals = []
    for value in (0.1 + reach, 0.1 - reach):
        after = RunningMean(null=0.1, num_means=3)
        after.update([0.5, null, 0.3])
        after.update([value])
        capitals.append((math.exp(after._log_more_M[-1]), math.exp(after._log_less_M[-1])))
    assert np.mean(capitals, axis=0) == pytest.approx(
        (math.exp(running._log_more_M[-1]), math.exp(running._log_less_M[-1]))
    )


def test_the_first_bet_by_hand() -> None:
    # Variance 1/4, t = 1: sqrt(2 ln 40 / (ln 2 / 4)) = 6.5, held at 0.5 / 0.5 = 1; x = (1 + 1) / 2 = 1, m = 1/2:
    # K+ = 1 + 1 * 0.5 = 1.5, K- = 0.5, and half the stake on the richer side is 0.75.
    running = RunningMean()
    running.update([1.0])
    assert running.e_value == pytest.approx(0.75)
    assert running.p_value == 1
    assert running.mean == 1


def test_the_second_bet_by_hand() -> None:
    # After x = 1: mean (0.5 + 1) / 2 = 0.75, variance (0.25 + 0.0625) / 2 = 0.15625; the bet is again held at 1, so
    # a second 1 makes 1.5**2 / 2, and a 0 makes 1.5 * 0.5 / 2.
    for value, expected in ((1.0, 1.125), (-1.0, 0.375)):
        running = RunningMean()
        running.update([1.0])
        running.update([value])
        assert running.e_value == pytest.approx(expected)


def test_a_later_bet_follows_the_paper_where_nothing_holds_it() -> None:
    """Eq. 26 written out in a loop, for values whose spread makes the bets small."""
    values = np.tile([1.0, -1.0, -0.5, 1.0], 40)
    running = RunningMean()
    running.update(values)
    x = (values + 1) / 2
    more = less = 1.0
    total, squares = 0.0, 0.0
    for t, value in enumerate(x, start=1):
        bet = min(1.0, math.sqrt(2 * math.log(2 / 0.05) / ((0.25 + squares) / t * t * math.log(t + 1))))
        more, less = more * (1 + bet * (value - 0.5)), less * (1 - bet * (value - 0.5))
        total += value
        squares += (value - (0.5 + total) / (t + 1)) ** 2
    assert bet < 0.5
    assert running.e_value == pytest.approx(max(more, less) / 2)


def test_a_clear_loss_is_found_and_its_evidence_grows() -> None:
    running = RunningMean()
    evidence = [running.e_value]
    for _ in range(20):
        running.update([-0.5, 0.0, -0.25, -0.25])
        evidence.append(running.e_value)
    assert evidence[20] > evidence[15] > evidence[10] > 20
    low, high = running.interval
    assert low < -0.25 < high < 0
    assert running.p_value < 0.001


def test_looking_after_every_value_raises_few_false_alarms_and_finds_the_truth() -> None:
    """400 streams of 300 differences with mean 0: at most 5 of 100 ever leave it out."""
    generator = np.random.default_rng(0)
    streams = generator.choice([1.0, 0.0, -1.0], p=[0.1, 0.8, 0.1], size=(400, 300))
    alarms = 0
    for stream in streams:
        running = RunningMean(num_means=21)
        running.update(stream)
        alarms += running.p_value <= 0.05
    assert 0 < alarms <= 0.05 * 400


def test_the_interval_narrows_as_values_come_in() -> None:
    generator = np.random.default_rng(1)
    running = RunningMean()
    widths = []
    for _ in range(6):
        low, high = running.update(generator.choice([1.0, 0.0, -1.0], p=[0.1, 0.8, 0.1], size=500))
        widths.append(high - low)
    assert low < 0 < high
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.12


def test_values_without_spread_narrow_it_to_the_grid_and_no_further() -> None:
    running = RunningMean(num_means=11)
    low, high = running.update(np.full(3000, 0.1))
    assert low <= 0.1 <= high
    assert high - low == pytest.approx(0.4)


def test_much_memory_is_not_needed_for_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, size=100)
    whole, parts = RunningMean(num_means=FEW), RunningMean(num_means=FEW)
    whole.update(values)
    monkeypatch.setattr("birdbone.evaluate.statistics.sequential._MAX_CAPITALS_IN_MEMORY", 7 * FEW)
    parts.update(values)
    assert parts.e_value == pytest.approx(whole.e_value)
    assert parts.interval == pytest.approx(whole.interval, abs=0.011)


def test_nothing_has_been_seen_before_the_first_value() -> None:
    running = RunningMean()
    assert running.update([]) == (-1, 1)
    assert (running.mean, running.num_values, running.p_value) == (None, 0, 1)


@pytest.mark.parametrize("bad", [[0.0, 1.5], [0.0, np.nan], [0.0, -np.inf]])
def test_a_value_out_of_bounds_is_refused_and_none_is_taken_in(bad: list[float]) -> None:
    running = RunningMean()
    with pytest.raises(BadScoresError, match=r"Value 1 .* -1 to 1 was expected"):
        running.update(bad)
    assert running.num_values == 0
    with pytest.raises(BadScoresError, match=r"\(1, 1\)"):
        running.update([[0.0]])


def test_bounds_that_hold_no_null_are_refused() -> None:
    for null, low, high in ((1.0, -1.0, 1.0), (0.0, 0.0, 1.0), (0.0, -1.0, math.inf), (math.nan, -1.0, 1.0)):
        with pytest.raises(BadSettingError, match="null"):
            RunningMean(null=null, low=low, high=high)
    with pytest.raises(BadSettingError, match="num_means"):
        RunningMean(num_means=2)
    with pytest.raises(BadSettingError, match="confidence"):
        RunningMean(confidence=95)
