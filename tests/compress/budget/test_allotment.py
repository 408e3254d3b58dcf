"""A sparsity is spread: its mean is met, bounds hold, and what hurts more loses less."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.compress.budget import allot_sparsity
from birdbone.compress.errors import BudgetError

profiles = st.lists(
    st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=20).map(lambda costs: torch.tensor(sorted(costs))),
    min_size=1,
    max_size=8,
)


@given(found=profiles, sparsity=st.floats(0.05, 0.95), reach=st.floats(0.01, 0.5), data=st.data())
@settings(max_examples=100)
def test_the_mean_is_met_within_the_bounds(found, sparsity, reach, data):
    by_path = {str(number): profile for number, profile in enumerate(found)}
    sizes = {path: data.draw(st.integers(1, 10_000)) for path in by_path}
    allotted = allot_sparsity(by_path, sizes, sparsity=sparsity, reach=reach)
    mean = sum(allotted[path] * sizes[path] for path in by_path) / sum(sizes.values())
    assert mean == pytest.approx(sparsity, abs=1e-6)
    assert all(max(0.0, sparsity - reach) <= value <= min(0.99, sparsity + reach) for value in allotted.values())


def test_all_alike_are_treated_alike_and_the_unit_of_damage_does_not_matter():
    profile = torch.linspace(0.1, 2, 50)
    same = allot_sparsity({"a": profile, "b": profile}, {"a": 10, "b": 90}, sparsity=0.4, reach=0.3)
    assert same["a"] == pytest.approx(same["b"])
    other = {"a": profile, "b": 3 * profile.square()}
    sizes = {"a": 10, "b": 90}
    scaled = {path: 1e-12 * each for path, each in other.items()}
    first, second = (allot_sparsity(each, sizes, sparsity=0.4, reach=0.3) for each in (other, scaled))
    assert first == pytest.approx(second)


def test_what_hurts_more_loses_less_and_by_hand():
    # Costs 1, 2, 3, 4 beside 10, 20, 30, 40: whoever takes out half takes all of the first.
    cheap, dear = torch.tensor([1.0, 2, 3, 4]), torch.tensor([10.0, 20, 30, 40])
    found = allot_sparsity({"cheap": cheap, "dear": dear}, {"cheap": 4, "dear": 4}, sparsity=0.5, reach=0.5)
    assert found == pytest.approx({"cheap": 0.99, "dear": 0.01})
    near = allot_sparsity({"cheap": cheap, "dear": dear}, {"cheap": 4, "dear": 4}, sparsity=0.5, reach=0.1)
    assert near == pytest.approx({"cheap": 0.6, "dear": 0.4})


@pytest.mark.parametrize(("sparsity", "reach"), [(0.0, 0.1), (1.0, 0.1), (0.5, 1.0), (0.5, -0.1)])
def test_what_cannot_be_spread_is_refused(sparsity, reach):
    with pytest.raises(BudgetError):
        allot_sparsity({"a": torch.ones(3)}, {"a": 3}, sparsity=sparsity, reach=reach)
