"""The share won back: all of it, none of it, and no number where nothing was lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import law, seeds

from birdbone.compress.healing import share_won_back
from birdbone.evaluate.errors import UnpairedError


def draw(seed: int, *, num_windows: int, lost: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    dense_NP = generator.normal(3.0, 0.5, size=(num_windows, 20))
    return dense_NP, dense_NP + lost + generator.normal(0, 0.05, size=dense_NP.shape)


@law
@given(seed=seeds, share=st.floats(-0.5, 1.5), num_windows=st.integers(8, 40))
def test_an_even_share_of_every_token_is_found_whatever_the_windows(seed: int, share: float, num_windows: int) -> None:
    dense_NP, before_NP = draw(seed, num_windows=num_windows, lost=0.5)
    after_NP = before_NP + share * (dense_NP - before_NP)
    found = share_won_back(dense_NP, before_NP, after_NP, seed=0)
    assert found is not None
    assert found.value == pytest.approx(share, abs=1e-9)
    assert found.low == pytest.approx(share, abs=1e-6)
    assert found.high == pytest.approx(share, abs=1e-6)
    assert found.lost == pytest.approx(0.5, abs=0.05)


def test_an_interval_holds_the_value_and_needs_eight_windows() -> None:
    dense_NP, before_NP = draw(0, num_windows=16, lost=0.3)
    after_NP = before_NP - np.random.default_rng(1).normal(0.15, 0.1, size=before_NP.shape)
    found = share_won_back(dense_NP, before_NP, after_NP, seed=0)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    few = share_won_back(dense_NP[:7], before_NP[:7], after_NP[:7], seed=0)
    assert few is not None
    assert (few.low, few.high) == (None, None)


def test_where_nothing_was_lost_there_is_no_share() -> None:
    dense_NP, _ = draw(0, num_windows=16, lost=0.0)
    noise_NP = np.random.default_rng(2).normal(0, 0.5, size=dense_NP.shape)
    assert share_won_back(dense_NP, dense_NP - 0.1, dense_NP, seed=0) is None
    assert share_won_back(dense_NP, dense_NP + 0.001 + noise_NP - noise_NP.mean(), dense_NP, seed=0) is None


def test_likelihoods_of_other_windows_are_refused() -> None:
    dense_NP, before_NP = draw(0, num_windows=9, lost=0.3)
    with pytest.raises(UnpairedError):
        share_won_back(dense_NP[:8], before_NP, before_NP, seed=0)
