"""P-values over many tasks: order, bounds, and the false alarms that the adjustment is for."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from birdbone.evaluate.errors import BadSettingError, TooFewItemsError
from birdbone.evaluate.statistics.multiplicity import benjamini_hochberg, holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@given(p_values)
def test_holm_is_at_least_benjamini_hochberg_is_at_least_raw(raw: list[float]) -> None:
    first, second = holm(raw), benjamini_hochberg(raw)
    assert (first >= second - 1e-12).all()
    assert (second >= np.array(raw) - 1e-12).all()
    assert (first <= 1).all()


@given(p_values, st.integers(0, 2**32 - 1))
def test_a_task_keeps_its_p_value_wherever_it_stands(raw: list[float], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(raw))
    for adjust in (holm, benjamini_hochberg):
        assert adjust(np.array(raw)[order]) == pytest.approx(adjust(raw)[order])


@given(p_values)
def test_a_smaller_raw_value_never_becomes_the_larger_one(raw: list[float]) -> None:
    order = np.argsort(raw)
    for adjust in (holm, benjamini_hochberg):
        assert (np.diff(adjust(raw)[order]) >= -1e-12).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_by_bonferroni(raw: list[float]) -> None:
    """A task is rejected where every set of tasks that holds it is: Marcus, Peritz and Gabriel 1976."""
    tasks = range(len(raw))
    sets = [chosen for size in range(1, len(raw) + 1) for chosen in combinations(tasks, size)]
    closed = [max(min(1.0, len(s) * min(raw[i] for i in s)) for s in sets if task in s) for task in tasks]
    assert holm(raw) == pytest.approx(closed)


@given(st.floats(0, 1))
def test_one_task_needs_no_adjustment(raw: float) -> None:
    assert holm([raw]) == pytest.approx([raw])
    assert benjamini_hochberg([raw]) == pytest.approx([raw])


@pytest.mark.parametrize("size", [1, 7, 60])
def test_both_are_those_of_statsmodels(size: int) -> None:
    raw = np.random.default_rng(size).random(size).round(1 if size == 60 else 9)  # sixty with one digit: many ties
    assert holm(raw) == pytest.approx(multipletests(raw, method="holm")[1])
    assert benjamini_hochberg(raw) == pytest.approx(multipletests(raw, method="fdr_bh")[1])


def test_four_tasks_by_hand() -> None:
    raw = [0.04, 0.01, 0.03, 0.005]
    # Holm, ascending: 4 * 0.005, 3 * 0.01, 2 * 0.03, then 0.04 is held at 0.06.
    assert holm(raw) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    # Benjamini and Hochberg: 4/1 * 0.005, 4/2 * 0.01, 4/3 * 0.03, 4/4 * 0.04, each held by the next.
    assert benjamini_hochberg(raw) == pytest.approx([0.04, 0.02, 0.04, 0.02])


def test_twenty_tasks_without_a_change_seldom_raise_any_alarm() -> None:
    """600 families: raw p-values alarm in about 64 of 100, adjusted ones in about 5."""
    families = np.random.default_rng(0).random((600, 20))
    raw = np.mean([family.min() <= 0.05 for family in families])
    adjusted = np.mean([holm(family).min() <= 0.05 for family in families])
    assert raw > 0.5
    assert 0.02 <= adjusted <= 0.08


@pytest.mark.parametrize("bad", [[0.5, 1.1], [0.5, -0.1], [0.5, np.nan]])
def test_what_is_no_probability_is_refused_by_its_place(bad: list[float]) -> None:
    with pytest.raises(BadSettingError, match="task 1"):
        holm(bad)


def test_a_table_and_an_empty_row_are_refused() -> None:
    with pytest.raises(BadSettingError, match=r"\(1, 2\)"):
        benjamini_hochberg([[0.1, 0.2]])
    with pytest.raises(TooFewItemsError):
        benjamini_hochberg([])
