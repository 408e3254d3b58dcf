"""Patterns of zeros: as many survivors as the pattern says, and the highest scores among them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import law, seeds

from birdbone.compress.config import NOfMPattern, UnstructuredPattern
from birdbone.compress.errors import PatternWidthError
from birdbone.compress.masks.patterns import keep_highest, keep_n_of_m, projection


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


@law
@given(seed=seeds, shape=st.sampled_from([(2, 4), (4, 8), (1, 3), (5, 6)]), levels=st.sampled_from([None, 2]))
def test_a_group_keeps_its_n_highest_scores_and_of_equal_ones_the_first(seed, shape, levels):
    num_kept, group = shape
    scores_FD = scores(seed, 3, 4 * group, levels=levels)
    mask_FGM = keep_n_of_m(scores_FD, num_kept=num_kept, group=group).reshape(3, 4, group)
    order_FGM = scores_FD.reshape(3, 4, group).argsort(dim=2, descending=True, stable=True)
    expected_FGM = torch.zeros_like(mask_FGM).scatter_(2, order_FGM[..., :num_kept], True)
    assert torch.equal(mask_FGM, expected_FGM)


def test_a_pattern_is_a_projection():
    drawn = scores(0, 2, 8)
    assert torch.equal(projection(NOfMPattern(), share=0.9)(drawn), keep_n_of_m(drawn, num_kept=2, group=4))
    assert torch.equal(projection(UnstructuredPattern(), share=0.25)(drawn), keep_highest(drawn, sparsity=0.25))


def test_a_group_that_does_not_divide_the_width_is_refused():
    with pytest.raises(PatternWidthError, match="this one is 6"):
        keep_n_of_m(torch.rand(2, 6), num_kept=2, group=4)


def test_a_pattern_that_drops_nothing_is_refused():
    with pytest.raises(ValueError, match="4 of 4 would drop nothing"):
        NOfMPattern(num_kept=4, group=4)
