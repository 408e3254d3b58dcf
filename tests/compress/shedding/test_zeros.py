"""Patterns of zeros: N of every M, whole rectangles, the lowest scores, and a clear word where they do not fit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import draw_mask, law, seeds

from birdbone.compress.errors import PatternWidthError
from birdbone.compress.shedding import shed_blocks, shed_n_of_m


def draw_scores(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@law
@given(seed=seeds, group=st.sampled_from([2, 4, 8]), kept=st.integers(1, 7), keep=st.floats(0, 1))
def test_n_of_m_keeps_the_best_n_of_each_group_and_revives_none(seed: int, group: int, kept: int, keep: float) -> None:
    scores_FD, mask_FD = draw_scores(seed, 3, 16), draw_mask(seed, 3, 16, keep=keep)
    found_FD = shed_n_of_m(scores_FD, mask_FD, num_kept=kept, group=group)
    assert not bool((found_FD & ~mask_FD).any())
    for row in range(3):
        for start in range(0, 16, group):
            own = slice(start, start + group)
            alive = scores_FD[row, own][mask_FD[row, own]].tolist()
            stays = scores_FD[row, own][found_FD[row, own]].tolist()
            assert sorted(stays) == sorted(alive)[-min(kept, len(alive)) :] if alive else not stays


@law
@given(seed=seeds, share=st.floats(0, 0.99), rows=st.sampled_from([1, 2, 4]), columns=st.sampled_from([1, 2, 3]))
def test_rectangles_go_whole_the_lowest_first(seed: int, share: float, rows: int, columns: int) -> None:
    scores_FD, mask_FD = draw_scores(seed, 4, 6), torch.ones(4, 6, dtype=torch.bool)
    found_FD = shed_blocks(scores_FD, mask_FD, rows=rows, columns=columns, share=share)
    tiles = found_FD.reshape(4 // rows, rows, 6 // columns, columns).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    sums = scores_FD.reshape(4 // rows, rows, 6 // columns, columns).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    assert bool((tiles.all(dim=1) | ~tiles.any(dim=1)).all())
    stays = tiles.any(dim=1)
    count = len(tiles)
    assert int((~stays).sum()) == min(int(count * share), count - 1)
    if bool((~stays).any()):
        assert float(sums.sum(dim=1)[~stays].max()) <= float(sums.sum(dim=1)[stays].min())


def test_a_pattern_that_does_not_divide_a_width_says_so() -> None:
    scores_FD, mask_FD = draw_scores(0, 4, 6), torch.ones(4, 6, dtype=torch.bool)
    with pytest.raises(PatternWidthError, match="2:4 needs a width that 4 divides; this one is 6"):
        shed_n_of_m(scores_FD, mask_FD, num_kept=2, group=4)
    with pytest.raises(PatternWidthError, match="4 x 4 do not tile 4 x 6"):
        shed_blocks(scores_FD, mask_FD, rows=4, columns=4, share=0.5)
