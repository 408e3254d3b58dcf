"""Changes of level: PELT gives the best cut there is, noise is seldom taken for a change, and a step is found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.errors import BadScoresError, BadSettingError, TooFewVersionsError
from birdbone.evaluate.history.change_points import (
    LEVEL,
    MAX_POINTS,
    MIN_POINTS,
    MIN_STRETCH,
    find_changes,
    noise_variances,
    pelt,
)

points_ = st.lists(st.integers(-20, 20), min_size=4, max_size=9)


def draw(seed=0):
    return np.random.default_rng(seed)


def cost_of(values, weights):
    mean = np.average(values, weights=weights)
    return float(np.sum(weights * (values - mean) ** 2))


def total_cost(values, weights, places, penalty):
    ends = (0, *places, len(values))
    parts = [slice(begin, end) for begin, end in itertools.pairwise(ends)]
    return sum(cost_of(values[part], weights[part]) for part in parts) + penalty * len(places)


def all_cuts(num_points):
    for count in range(num_points // MIN_STRETCH):
        for places in itertools.combinations(range(1, num_points), count):
            ends = (0, *places, num_points)
            if all(end - begin >= MIN_STRETCH for begin, end in itertools.pairwise(ends)):
                yield places


@settings(max_examples=40)
@given(points_, st.data())
def test_pelt_is_the_best_of_all_cuts(points, data):
    values = np.array(points, dtype=float)
    variances = np.array(
        data.draw(st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=len(points), max_size=len(points)))
    )
    penalty = data.draw(st.sampled_from([0.5, 3.0, 20.0, 200.0]))
    found = pelt(values, variances, penalty=penalty)
    best = min(total_cost(values, 1 / variances, places, penalty) for places in all_cuts(len(values)))
    assert total_cost(values, 1 / variances, found, penalty) == pytest.approx(best, abs=1e-9)


@settings(max_examples=40)
@given(points_, st.integers(-1000, 1000), st.sampled_from([0.001, 1.0, 500.0]))
def test_the_best_cut_does_not_depend_on_where_zero_is_and_on_the_unit(points, shift, unit):
    values, ones = np.array(points, dtype=float), np.ones(len(points))
    places = pelt(values, ones, penalty=7.3)
    moved = pelt((values + shift) * unit, ones * unit**2, penalty=7.3)  # of equal cuts it may be another
    assert total_cost(values, ones, moved, 7.3) == pytest.approx(total_cost(values, ones, places, 7.3), abs=1e-6)


def test_a_step_worked_by_hand_is_found_with_its_levels():
    values = [10.0, 10.2, 9.8, 10.0, 14.0, 14.2, 13.8, 14.0]
    found = find_changes(values, generator=draw())
    (change,) = found.changes
    assert (change.place, change.before, change.after) == (4, pytest.approx(10.0), pytest.approx(14.0))
    assert change.size == pytest.approx(4.0)
    assert change.low < change.size < change.high
    assert found.p_value <= LEVEL


def test_six_versions_are_enough_for_a_clear_step_and_five_are_too_few():
    values = [0.50, 0.51, 0.49, 0.30, 0.31, 0.29]
    (change,) = find_changes(values, generator=draw()).changes
    assert change.place == 3
    with pytest.raises(TooFewVersionsError, match="5 versions are too few"):
        find_changes(values[: MIN_POINTS - 1], generator=draw())


def test_two_steps_are_both_found():
    values = np.concatenate([np.zeros(8), np.full(8, 10.0), np.full(8, 2.0)]) + draw(3).normal(0, 0.5, 24)
    assert [change.place for change in find_changes(values, generator=draw()).changes] == [8, 16]


def test_the_same_figures_again_and_again_are_no_change():
    found = find_changes([0.1] * 10, [0.05] * 10, generator=draw())
    assert (found.changes, found.p_value) == ((), 1.0)


def test_figures_without_noise_have_changed_where_they_differ():
    (change,) = find_changes([270.0] * 5 + [90.0] * 5, generator=draw()).changes
    assert (change.place, change.low, change.high) == (5, -180.0, -180.0)


def test_a_step_within_the_intervals_of_its_points_is_no_change():
    values = [0.50, 0.51, 0.49, 0.50, 0.51, 0.47, 0.46, 0.48, 0.47, 0.46]
    assert find_changes(values, generator=draw()).changes
    assert find_changes(values, [0.005] * 10, generator=draw()).changes
    assert not find_changes(values, [0.05] * 10, generator=draw()).changes


def test_points_that_are_known_badly_move_nothing():
    values = np.array([0.50, 0.51, 0.49, 0.50, 0.52, 0.49, 0.51, 0.50, 0.31, 0.29, 0.30, 0.32])
    errors = np.full(12, 0.01)
    assert [change.place for change in find_changes(values, errors, generator=draw()).changes] == [8]
    errors[8:] = 0.3
    assert not find_changes(values, errors, generator=draw()).changes


def test_a_point_without_an_interval_counts_as_the_least_known():
    values = draw(2).normal(0.5, 0.01, 8)
    some = [0.01] * 7 + [np.nan]
    assert (
        find_changes(values, some, generator=draw()).p_value
        == find_changes(values, [0.01] * 8, generator=draw()).p_value
    )


def test_noise_is_seldom_taken_for_a_change():
    series = draw(1).normal(5, 2, (150, 12))
    alarms = sum(bool(find_changes(row, generator=draw()).changes) for row in series)
    assert alarms <= 14  # of 150 at 4 %: more has a chance of one in a thousand


def test_a_change_and_a_small_p_value_come_together():
    for seed in range(20):
        values = draw(seed).normal(0, 1, 10) + np.where(np.arange(10) < 5, 0, 1.7)
        found = find_changes(values, generator=draw())
        assert bool(found.changes) == (found.p_value <= LEVEL)


def test_of_a_long_series_the_newest_are_looked_at():
    values = np.concatenate([draw(5).normal(0, 1, MAX_POINTS), draw(6).normal(30, 1, MAX_POINTS)])
    found = find_changes(values, generator=draw())
    assert (found.changes, found.num_points) == ((), MAX_POINTS)


def test_versions_that_differ_by_more_than_their_intervals_make_points_alike():
    values = np.array([0.0, 1.0, 0.1, 0.9, 0.0, 1.1])
    variances = noise_variances(values, np.array([0.001, 0.1, 0.001, 0.1, 0.001, 0.1]))
    assert variances.max() / variances.min() < 1.1
    assert (noise_variances(values, np.full(6, 5.0)) == 25.0).all()


def test_what_is_no_series_is_refused():
    values = list(range(8))
    for errors in ([0.0] * 8, [-1.0] * 8, [np.nan] * 8, [1.0] * 7):
        with pytest.raises(BadScoresError):
            find_changes(values, errors, generator=draw())
    with pytest.raises(BadScoresError):
        find_changes([*values, np.nan], generator=draw())
    with pytest.raises(BadSettingError):
        find_changes(values, generator=draw(), level=0.0)
