"""Shedding takes exactly the lowest scores, never too many, and never gives a weight back."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import draw_mask, law, seeds

from birdbone.compress.shedding import shed_lowest, sparsity

fractions = st.floats(0, 1)
sizes = st.integers(1, 40)
keeps = st.floats(0, 1)


def draw_scores(seed: int, rows: int, columns: int, *, num_levels: int = 1000) -> torch.Tensor:
    """Scores of a few levels, so that there are ties."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, num_levels, (rows, columns), generator=generator).float()


@law
@given(seed=seeds, columns=sizes, keep=keeps, fraction=fractions)
def test_it_sheds_the_fraction_of_each_rows_survivors_rounded_down_and_keeps_one(
    seed: int, columns: int, keep: float, fraction: float
) -> None:
    mask_FD = draw_mask(seed, 5, columns, keep=keep)
    shed_FD = shed_lowest(draw_scores(seed, 5, columns), mask_FD, fraction=fraction)
    for alive, left in zip(mask_FD.sum(dim=1).tolist(), shed_FD.sum(dim=1).tolist(), strict=True):
        assert alive - left == max(0, min(int(alive * fraction), alive - 1))
        assert alive - left <= alive * fraction
        assert left >= min(1, alive)


@law
@given(seed=seeds, columns=sizes, keep=keeps, fraction=fractions, num_levels=st.integers(1, 5))
def test_it_sheds_the_lowest_and_revives_none(
    seed: int, columns: int, keep: float, fraction: float, num_levels: int
) -> None:
    mask_FD = draw_mask(seed, 5, columns, keep=keep)
    scores_FD = draw_scores(seed, 5, columns, num_levels=num_levels)
    shed_FD = shed_lowest(scores_FD, mask_FD, fraction=fraction)
    assert not bool((shed_FD & ~mask_FD).any())
    for row in range(5):
        dropped = scores_FD[row][mask_FD[row] & ~shed_FD[row]].tolist()
        assert sorted(scores_FD[row][mask_FD[row]].tolist())[: len(dropped)] == sorted(dropped)


@law
@given(seed=seeds, columns=sizes, keep=keeps)
def test_the_arguments_stay_and_nothing_sheds_nothing(seed: int, columns: int, keep: float) -> None:
    mask_FD, scores_FD = draw_mask(seed, 3, columns, keep=keep), draw_scores(seed, 3, columns)
    before_FD, scores_before_FD = mask_FD.clone(), scores_FD.clone()
    shed_lowest(scores_FD, mask_FD, fraction=0.5)
    assert torch.equal(mask_FD, before_FD)
    assert torch.equal(scores_FD, scores_before_FD)
    assert torch.equal(shed_lowest(scores_FD, mask_FD, fraction=0.0), mask_FD)


def test_a_fraction_just_below_a_whole_number_of_weights_is_not_rounded_up() -> None:
    scores_FD, mask_FD = torch.arange(10.0)[None], torch.ones(1, 10, dtype=torch.bool)
    assert int(shed_lowest(scores_FD, mask_FD, fraction=0.0999999999).sum()) == 10
    assert int(shed_lowest(scores_FD, mask_FD, fraction=0.1).sum()) == 9


def test_low_scores_of_what_is_shed_already_do_not_count() -> None:
    scores_FD = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    mask_FD = torch.tensor([[False, True, True, True]])
    shed_FD = shed_lowest(scores_FD, mask_FD, fraction=0.4)
    assert shed_FD.tolist() == [[False, False, True, True]]


def test_sparsity_is_the_share_that_is_shed() -> None:
    assert sparsity(torch.tensor([[True, False, True, True]])) == 0.25
