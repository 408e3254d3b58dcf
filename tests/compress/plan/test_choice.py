"""The front has no plan that another beats, and what is taken from it keeps the budgets or says what can be kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.compress.errors import UnmetBudgetError
from birdbone.compress.plan import Bits, Plan
from birdbone.compress.plan.forecast import Forecast, forecast_from_data
from birdbone.compress.plan.front import costs_of, dominates, front_of, pareto_front, thinned
from birdbone.compress.plan.loss import Interval
from birdbone.compress.plan.recommend import Budget, recommend

POINTS = st.lists(st.tuples(*[st.integers(0, 6).map(float)] * 3), max_size=30)


def forecast(size: int, milliseconds: float, rise: float) -> Forecast:
    return Forecast(
        plan=Plan(steps=(Bits(bits_per_weight=4 + size / 1e8, embedding="q8_0"),)),
        size_bytes=size,
        bytes_read=size,
        seconds=Interval(value=milliseconds / 1000, low=0.0, high=1.0),
        rise=Interval(value=rise, low=rise - 0.1, high=rise + 0.1),
    )


FORECASTS = st.lists(
    st.builds(forecast, st.integers(10**7, 3 * 10**8), st.floats(1, 50), st.floats(-0.01, 0.7)), min_size=1, max_size=20
)


@given(POINTS)
def test_no_point_of_a_front_is_beaten_and_every_other_point_is(points: list[tuple[float, ...]]) -> None:
    front = pareto_front(points, lambda point: point)
    assert len(set(front)) == len(front)
    assert not any(dominates(one, other) for one in points for other in front)
    assert all(point in front or any(dominates(other, point) for other in front) for point in points)


@given(FORECASTS, st.integers(10**7, 3 * 10**8), st.floats(0.1, 1.0))
def test_a_tighter_budget_never_gives_a_larger_file(found: list[Forecast], size: int, share: float) -> None:
    front = front_of(found)
    chosen = {}
    for name, limit in (("loose", size), ("tight", int(share * size))):
        try:
            chosen[name] = recommend(front, Budget(max_bytes=limit)).size_bytes
            assert chosen[name] <= limit
        except UnmetBudgetError:
            continue
    assert "loose" in chosen or "tight" not in chosen
    assert chosen.get("tight", 0) <= chosen.get("loose", 0)


@given(FORECASTS, st.floats(1.0, 2.0), st.floats(1, 50))
def test_what_is_taken_keeps_every_budget(found: list[Forecast], ratio: float, milliseconds: float) -> None:
    budget = Budget(max_ratio=ratio, max_seconds=milliseconds / 1000)
    front = front_of(found)
    try:
        taken = recommend(front, budget)
    except UnmetBudgetError:
        assert all(budget.excess(each) > 0 for each in found)
        return
    assert taken in front
    assert budget.excess(taken) == 0
    assert not any(dominates(costs_of(other), costs_of(taken)) for other in found)


def test_a_limit_of_loss_alone_asks_for_the_smallest_file() -> None:
    front = front_of([forecast(10**8, 10, 0.02), forecast(2 * 10**8, 20, 0.0), forecast(5 * 10**7, 5, 0.4)])
    taken = recommend(front, Budget(max_ratio=1.03, goal="bytes"))
    assert taken.size_bytes == 10**8


def test_a_budget_that_cannot_be_kept_says_what_can() -> None:
    front = front_of([forecast(10**8, 10, 0.02), forecast(6 * 10**7, 8, 0.3)])
    with pytest.raises(UnmetBudgetError) as caught:
        recommend(front, Budget(max_bytes=6 * 10**7, max_ratio=1.03))
    told = caught.value.message
    assert "No plan keeps 60.0 MB, +3 % perplexity." in told
    assert "Within 60.0 MB the nearest has 60.0 MB, +35.0 % perplexity" in told
    assert "Within +3 % perplexity the nearest has 100.0 MB" in told
    assert caught.value.code == "compress.unmet_budget"
    with pytest.raises(UnmetBudgetError, match=r"No plan at all keeps 1\.0 MB; the nearest has 60\.0 MB"):
        recommend(front, Budget(max_bytes=10**6))


@given(FORECASTS)
def test_a_forecast_survives_as_data(found: list[Forecast]) -> None:
    assert [forecast_from_data(each.to_data()) for each in found] == found


@given(FORECASTS, st.integers(3, 10), st.data())
def test_a_front_is_thinned_but_for_its_ends_and_what_was_taken(
    found: list[Forecast], count: int, data: st.DataObject
) -> None:
    front = front_of(found)
    keep = data.draw(st.sampled_from(front))
    shown = thinned(front, keep=keep, count=count)
    assert len(shown) <= count
    assert {front[0].size_bytes, front[-1].size_bytes, keep.size_bytes} <= {each.size_bytes for each in shown}
