"""Rank correlation is scipy's, overlap is that of sets."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import law, seeds
from torch import Tensor

from birdbone.compress.importance.agreement import rank_correlations, ranks, top_overlaps


def draw_scores(seed: int, *, num_levels: int) -> Tensor:
    """Three metrics on 40 weights; with few levels there are many ties."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(num_levels, (3, 40), generator=generator).float()


@law
@given(seed=seeds, num_levels=st.integers(2, 1000))
def test_ranks_and_their_correlation_are_those_of_scipy(seed: int, num_levels: int) -> None:
    scores_MN = draw_scores(seed, num_levels=num_levels)
    np.testing.assert_allclose(ranks(scores_MN), scipy.stats.rankdata(scores_MN, axis=1))
    np.testing.assert_allclose(rank_correlations(scores_MN), scipy.stats.spearmanr(scores_MN, axis=1)[0], atol=1e-12)


@law
@given(seed=seeds)
def test_only_the_order_of_scores_matters(seed: int) -> None:
    scores_MN = draw_scores(seed, num_levels=50)
    bent_MN = torch.stack([scores_MN[0], scores_MN[1].exp(), 3 * scores_MN[2] + 1])
    torch.testing.assert_close(rank_correlations(bent_MN), rank_correlations(scores_MN))


@law
@given(seed=seeds, share=st.floats(0.01, 1))
def test_the_overlap_is_the_share_of_common_members(seed: int, share: float) -> None:
    scores_MN = torch.rand(3, 40, generator=torch.Generator().manual_seed(seed))
    count = max(1, int(share * 40))
    tops = [set(row.argsort(descending=True)[:count].tolist()) for row in scores_MN]
    found_MM = top_overlaps(scores_MN, share=share)
    for a in range(3):
        for b in range(3):
            assert float(found_MM[a, b]) == pytest.approx(len(tops[a] & tops[b]) / count)


def test_opposite_orders_agree_on_nothing_and_a_constant_has_no_order() -> None:
    scores_MN = torch.stack([torch.arange(10.0), -torch.arange(10.0), torch.ones(10)])
    found_MM = rank_correlations(scores_MN)
    assert float(found_MM[0, 1]) == pytest.approx(-1)
    assert bool(found_MM[2].isnan().all())
    assert float(top_overlaps(scores_MN, share=0.5)[0, 1]) == 0.0
