"""A leak is found and a steady judge is not blamed; threads get the answers that one asker gets."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluate.checks.judges import Leaky, Muddled, Parallel, whole_judge

from birdbone.evaluate.checks.probes import draw_requests
from birdbone.evaluate.checks.stress import check_concurrency, check_memory, fit_slope, student_quantile

WHOLE = whole_judge()
REQUESTS = draw_requests(WHOLE, seed=6, count=8)


def test_a_judge_that_keeps_a_megabyte_a_round_fails():
    judge = Leaky(WHOLE)
    found = check_memory(judge, REQUESTS, num_rounds=12)
    assert found.outcome == "fail"
    assert found.figures["low"] > 500_000
    assert found.figures["growth_bytes"] == pytest.approx(1_000_000, rel=0.2)
    assert len(judge.kept) == 17


def test_a_steady_judge_passes():
    found = check_memory(WHOLE, REQUESTS, num_rounds=8)
    assert found.outcome == "pass", found.reason
    assert found.num_items == 8 * len(REQUESTS)


def test_growth_that_the_interval_leaves_open_is_a_warning():
    draw = random.Random(0)
    held = iter([100 * at + draw.uniform(-2000, 2000) for at in range(20)])
    found = check_memory(
        WHOLE, REQUESTS[:1], num_rounds=20, num_warm_up=0, max_growth_bytes=100, read_bytes=held.__next__
    )
    assert found.figures["low"] < 100 < found.figures["growth_bytes"]
    assert found.outcome == "warn"


def test_what_does_not_say_that_it_may_be_asked_at_once_is_not():
    assert check_concurrency(WHOLE, REQUESTS, tolerance_nats=1e-3).outcome == "skipped"


def test_answers_at_once_are_those_alone():
    found = check_concurrency(Parallel(WHOLE), REQUESTS, tolerance_nats=1e-3)
    assert found.outcome == "pass", found.reason
    assert found.figures["num_parallel"] == 4


def test_a_judge_that_mixes_up_who_asks_fails():
    found = check_concurrency(Muddled(WHOLE), REQUESTS, tolerance_nats=1e-3)
    assert found.outcome == "fail"
    assert "nats alone and" in found.reason


@given(st.lists(st.integers(-1000, 1000), min_size=4, max_size=30), st.integers(-50, 50), st.integers(-1000, 1000))
def test_a_line_added_to_values_moves_the_slope_by_its_own_and_leaves_its_width(values, slope, start):
    plain = fit_slope(values)
    moved = fit_slope([value + start + slope * at for at, value in enumerate(values)])
    assert moved.value == pytest.approx(plain.value + slope, abs=1e-6)
    assert moved.high - moved.low == pytest.approx(plain.high - plain.low, abs=1e-5)


def test_a_slope_worked_by_hand():
    # y = 1 3 2 4: means 1.5 and 2.5, Sxy = 4, Sxx = 5, residuals squared 1.8, t(0.975, 2) = 4.3027
    slope = fit_slope([1, 3, 2, 4])
    assert slope.value == pytest.approx(0.8)
    assert slope.high - slope.value == pytest.approx(4.3027 * (1.8 / 2 / 5) ** 0.5, rel=1e-4)
    with pytest.raises(ValueError, match="needs 4 values"):
        fit_slope([1, 2, 3])


@pytest.mark.parametrize(
    ("num_freedom", "quantile"), [(2, 4.30265), (3, 3.18245), (6, 2.44691), (10, 2.22814), (18, 2.10092), (60, 2.00030)]
)
def test_quantiles_of_student_are_those_of_the_tables(num_freedom, quantile):
    assert student_quantile(0.975, num_freedom) == pytest.approx(quantile, rel=0.02 if num_freedom < 6 else 0.001)
