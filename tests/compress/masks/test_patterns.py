"""Patterns of zeros: as many survivors as the pattern says, and the highest scores among them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import law, seeds

from birdbone.compress.config import BlockPattern, NOfMPattern, UnstructuredPattern
from birdbone.compress.errors import PatternWidthError
from birdbone.compress.masks.patterns import keep_highest, projection
from birdbone.compress.shedding import shed_n_of_m


def scores(seed, rows, columns, *, levels=None):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(rows, columns, generator=generator)
    return drawn if levels is None else (drawn * levels).floor()


@law
@given(seed=seeds, columns=st.integers(1, 30), sparsity=st.floats(0.01, 0.99), levels=st.sampled_from([None, 3]))
def test_a_row_keeps_its_highest_scores(seed, columns, sparsity, levels):
    scores_FD = scores(seed, 5, columns, levels=levels)
    mask_FD = keep_highest(scores_FD, sparsity=sparsity)
    assert bool((mask_FD.sum(dim=1) == max(1, columns - int(columns * sparsity))).all())
    lowest_kept = scores_FD.masked_fill(~mask_FD, torch.inf).amin(dim=1)
    highest_gone = scores_FD.masked_fill(mask_FD, -torch.inf).amax(dim=1)
    assert bool((lowest_kept >= highest_gone).all())


def test_a_pattern_is_a_projection():
    drawn = scores(0, 4, 8)
    half = torch.ones_like(drawn, dtype=torch.bool)
    assert torch.equal(projection(UnstructuredPattern(), share=0.25)(drawn), keep_highest(drawn, sparsity=0.25))
    assert torch.equal(projection(NOfMPattern(), share=0.9)(drawn), shed_n_of_m(drawn, half, num_kept=2, group=4))
    tiles = projection(BlockPattern(rows=2, columns=4), share=0.5)(drawn).reshape(2, 2, 2, 4)
    assert [int(tile.sum()) for tile in tiles.transpose(1, 2).reshape(4, 8)].count(8) == 2


def test_a_group_that_does_not_divide_the_width_is_refused():
    with pytest.raises(PatternWidthError, match="this one is 6"):
        projection(NOfMPattern(), share=0.5)(torch.rand(2, 6))
