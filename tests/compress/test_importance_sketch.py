"""A sketch answers as all the scores would: counts exactly, quantiles closely; sketches add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import law, seeds
from torch import Tensor

from birdbone.compress.errors import NegativeScoreError, NonFiniteScoreError
from birdbone.compress.importance.sketch import (
    RELATIVE_ERROR,
    bin_edge,
    histogram_edges,
    merge_sketches,
    sketch_scores,
)
from birdbone.compress.importance.thresholds import (
    threshold_by_importance,
    threshold_by_quantile,
    threshold_by_z_score,
)

shares = st.floats(0.001, 0.999)


def draw_scores(seed: int, *, count: int = 500) -> Tensor:
    """Scores over twelve powers of ten, some of them zero and some equal."""
    generator = torch.Generator().manual_seed(seed)
    scores = (6 * torch.randn(count, generator=generator)).exp()
    scores[: count // 10] = 0.0
    scores[count // 2 : count // 2 + 20] = scores[-1]
    return scores[torch.randperm(count, generator=generator)]


@law
@given(seed=seeds, share=shares)
def test_a_quantile_is_the_score_of_that_rank_within_the_error(seed: int, share: float) -> None:
    scores = draw_scores(seed)
    rank = int(np.ceil(share * len(scores)))
    exact = float(scores.double().sort().values[rank - 1])
    assert sketch_scores(scores).quantile(share) == pytest.approx(exact, rel=RELATIVE_ERROR)


@law
@given(seed=seeds, share=shares)
def test_thresholds_say_exactly_what_they_drop(seed: int, share: float) -> None:
    scores = draw_scores(seed).double()
    sketch = sketch_scores(scores)
    for threshold in (
        threshold_by_quantile(sketch, share),
        threshold_by_importance(sketch, share),
        threshold_by_z_score(sketch, 4 * share - 2),
    ):
        is_dropped = scores < threshold.value
        assert threshold.sparsity == int(is_dropped.sum()) / len(scores)
        assert threshold.importance_kept == pytest.approx(float(scores[~is_dropped].sum() / scores.sum()), abs=1e-9)


@law
@given(seed=seeds, share=shares)
def test_a_threshold_drops_as_much_as_it_may_and_no_more(seed: int, share: float) -> None:
    scores = draw_scores(seed).double()
    sketch = sketch_scores(scores)
    by_count, by_importance = threshold_by_quantile(sketch, share), threshold_by_importance(sketch, share)
    assert by_count.sparsity <= share
    assert by_importance.importance_kept >= share - 1e-9
    # The next bin as well would be too much.
    wider = 1 + RELATIVE_ERROR
    assert int((scores < max(by_count.value, 1e-37) * wider).sum()) > share * len(scores)
    assert float(scores[scores < max(by_importance.value, 1e-37) * wider].sum()) > (1 - share) * float(scores.sum())


def test_a_z_score_is_counted_from_the_mean_and_is_never_below_zero() -> None:
    sketch = sketch_scores(torch.tensor([1.0, 2.0, 3.0, 6.0]))  # mean 3, deviation 1.87
    assert (sketch.mean, sketch.deviation) == (3.0, pytest.approx(3.5**0.5))
    assert threshold_by_z_score(sketch, 1.0).value == pytest.approx(3 + 3.5**0.5, rel=RELATIVE_ERROR)
    assert threshold_by_z_score(sketch, 0.0).sparsity == 0.5
    assert threshold_by_z_score(sketch, -5.0).value == 0.0


@law
@given(seed=seeds, share=shares)
def test_the_top_holds_the_sum_of_the_largest(seed: int, share: float) -> None:
    scores = draw_scores(seed)
    count = max(1, int(share * len(scores)))
    exact = float(scores.double().sort(descending=True).values[:count].sum() / scores.double().sum())
    assert sketch_scores(scores).share_of_top(count / len(scores)) == pytest.approx(exact, rel=2 * RELATIVE_ERROR)


@law
@given(seed=seeds, cut=st.integers(1, 499))
def test_sketches_of_two_parts_are_the_sketch_of_the_whole(seed: int, cut: int) -> None:
    scores = draw_scores(seed)
    whole, merged = sketch_scores(scores), merge_sketches([sketch_scores(scores[:cut]), sketch_scores(scores[cut:])])
    assert np.array_equal(whole.bins_K, merged.bins_K)
    assert np.array_equal(whole.counts_K, merged.counts_K)
    np.testing.assert_allclose(whole.sums_K, merged.sums_K, rtol=1e-12)
    assert (whole.low, whole.high) == (merged.low, merged.high)
    assert whole.deviation == pytest.approx(merged.deviation)


@law
@given(seed=seeds, num_bins=st.integers(2, 60))
def test_a_histogram_counts_every_score_once_and_none_far_from_its_place(seed: int, num_bins: int) -> None:
    scores = draw_scores(seed).double().numpy()
    sketch = sketch_scores(torch.from_numpy(scores))
    edges = histogram_edges(sketch, num_bins=num_bins)
    counts = sketch.histogram(edges)
    assert counts.sum() == len(scores)
    assert edges[0] <= scores[scores > 0].min()
    assert edges[-1] >= scores.max() * (1 - 1e-9)
    for edge, below in zip(edges[1:-1], counts.cumsum(), strict=False):
        assert (scores < edge).sum() <= below <= (scores < edge * (1 + RELATIVE_ERROR)).sum()


@law
@given(score=st.floats(1e-30, 1e30))
def test_an_edge_is_just_below_its_score(score: float) -> None:
    edge = bin_edge(score)
    single = float(np.float32(score))
    assert edge <= single < edge * (1 + RELATIVE_ERROR) * (1 + 1e-9)
    assert bin_edge(edge) == edge


def test_scores_that_are_all_zero_have_no_importance_to_hold() -> None:
    sketch = sketch_scores(torch.zeros(3, 4))
    assert (sketch.mean, sketch.quantile(0.5), sketch.share_of_top(0.25)) == (0.0, 0.0, 0.25)
    assert threshold_by_quantile(sketch, 0.5).sparsity == 0.0
    assert threshold_by_importance(sketch, 0.9).importance_kept == 1.0
    assert sketch.histogram(histogram_edges(sketch, num_bins=4)).tolist() == [12, 0, 0, 0]


def test_a_negative_zero_is_a_zero() -> None:
    assert sketch_scores(torch.tensor([-0.0, 0.0])).counts_K.tolist() == [2]


@pytest.mark.parametrize(("value", "error"), [(float("nan"), NonFiniteScoreError), (-1.0, NegativeScoreError)])
def test_what_is_no_score_is_refused(value: float, error: type[Exception]) -> None:
    with pytest.raises(error):
        sketch_scores(torch.tensor([1.0, value]))
