"""Chosen windows are some of those there are, each once, the same every time, and they differ."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.matrices import law, seeds
from torch import Tensor

from birdbone.compress.calibration import choose_windows, farthest_first, most_covering
from birdbone.compress.config import CalibrationChoiceConfig
from birdbone.compress.errors import TooFewWindowsError

pytestmark = pytest.mark.usefixtures("dense_stays")
CHOICES = [
    CalibrationChoiceConfig(kind="first"),
    CalibrationChoiceConfig(kind="coverage"),
    CalibrationChoiceConfig(kind="k_center"),
    CalibrationChoiceConfig(kind="k_center", features="activations"),
]


def draw_windows(seed: int, count: int) -> Tensor:
    return torch.randint(0, 30, (count, 5), generator=torch.Generator().manual_seed(seed))


def num_tokens(windows_NT: Tensor) -> int:
    return len(windows_NT.unique())


@pytest.mark.parametrize("config", CHOICES, ids=lambda config: f"{config.kind}-{config.features}")
def test_the_choice_is_a_subset_in_the_old_order_and_repeats(config: CalibrationChoiceConfig, dense: Dense) -> None:
    loaded, windows_NT = dense.loaded, dense.calibration_NT
    first, second = (
        choose_windows(loaded.model, loaded.architecture, windows_NT, count=5, config=config) for _ in range(2)
    )
    assert torch.equal(first, second)
    places = [int((windows_NT == window_T).all(dim=1).nonzero()[0, 0]) for window_T in first]
    assert places == sorted(set(places))
    assert len(places) == 5


@law
@given(seed=seeds, total=st.integers(1, 9), data=st.data())
def test_each_window_is_taken_at_most_once(seed: int, total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, total))
    windows_NT = draw_windows(seed, total)
    for found_C in (most_covering(windows_NT, count=count), farthest_first(windows_NT.float(), count=count)):
        assert found_C.tolist() == sorted(set(found_C.tolist()))
        assert len(found_C) == count
        assert 0 <= int(found_C.min()) <= int(found_C.max()) < total


@law
@given(seed=seeds, count=st.integers(1, 3))
def test_coverage_has_most_of_what_the_best_choice_covers(seed: int, count: int) -> None:
    windows_NT = draw_windows(seed, 7)
    best = max(num_tokens(windows_NT[list(each)]) for each in itertools.combinations(range(7), count))
    assert num_tokens(windows_NT[most_covering(windows_NT, count=count)]) >= (1 - 1 / math.e) * best


@law
@given(seed=seeds, count=st.integers(1, 3))
def test_every_window_is_within_twice_the_least_possible_distance_of_a_chosen_one(seed: int, count: int) -> None:
    features_NE = torch.randn(7, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def radius(chosen: list[int]) -> float:
        return float(torch.cdist(features_NE, features_NE[chosen]).amin(dim=1).max())

    found = farthest_first(features_NE, count=count).tolist()
    best = min(radius(list(each)) for each in itertools.combinations(range(7), count))
    assert radius(found) <= 2 * best + 1e-9


def test_windows_that_say_the_same_are_passed_over() -> None:
    windows_NT = torch.tensor([[1, 1, 2], [1, 2, 2], [3, 4, 5], [2, 1, 1], [6, 6, 6]])
    assert most_covering(windows_NT, count=3).tolist() == [0, 2, 4]
    features_NE = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [9.0, 0.0], [0.0, 8.0]])
    assert set(farthest_first(features_NE, count=3).tolist()) >= {3, 4}


@pytest.mark.parametrize("count", [0, 6])
def test_more_windows_than_there_are_is_an_error(count: int) -> None:
    with pytest.raises(TooFewWindowsError, match="there are 5"):
        most_covering(draw_windows(0, 5), count=count)
    with pytest.raises(TooFewWindowsError, match="there are 5"):
        farthest_first(draw_windows(0, 5).float(), count=count)
