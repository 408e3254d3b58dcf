"""Shares by row and by cluster of columns: with one share for all the same as before, else exact in sum."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import draw_mask, law, seeds
from torch import Tensor

from birdbone.compress.shedding import shed_lowest
from birdbone.compress.thresholds.shares import ColumnFractions, Fractions, RowFractions, shed_by_fractions

ROWS, COLUMNS, CLUSTERS = 5, 24, 3
share = st.floats(0, 1)


def draw(seed: int, keep: float) -> tuple[Tensor, Tensor, Tensor]:
    """Scores with ties, a mask, and a cluster for each column."""
    generator = torch.Generator().manual_seed(seed)
    scores_FD = torch.randint(0, 9, (ROWS, COLUMNS), generator=generator).float()
    cluster_D = torch.cat(
        [torch.arange(CLUSTERS), torch.randint(0, CLUSTERS, (COLUMNS - CLUSTERS,), generator=generator)]
    )
    return scores_FD, draw_mask(seed, ROWS, COLUMNS, keep=keep), cluster_D


@law
@given(seed=seeds, keep=share, fraction=share)
def test_with_one_share_for_all_it_is_the_plain_shedding(seed: int, keep: float, fraction: float) -> None:
    scores_FD, mask_FD, cluster_D = draw(seed, keep)
    expected_FD = shed_lowest(scores_FD, mask_FD, fraction=fraction)
    rows = RowFractions(fraction_F=torch.full((ROWS,), fraction, dtype=torch.float64))
    columns = ColumnFractions(fraction_G=torch.full((CLUSTERS,), fraction, dtype=torch.float64), cluster_D=cluster_D)
    assert torch.equal(shed_by_fractions(scores_FD, mask_FD, rows), expected_FD)
    assert torch.equal(shed_by_fractions(scores_FD, mask_FD, columns), expected_FD)


@law
@given(seed=seeds, keep=share, fractions=st.lists(share, min_size=ROWS, max_size=ROWS))
def test_rows_shed_their_shares_to_within_one_weight_and_exactly_in_sum(
    seed: int, keep: float, fractions: list[float]
) -> None:
    scores_FD, mask_FD, _ = draw(seed, keep)
    fractions[0], fractions[1] = 0.25, 0.5  # equal shares are another law
    shed_FD = shed_by_fractions(
        scores_FD, mask_FD, RowFractions(fraction_F=torch.tensor(fractions, dtype=torch.float64))
    )
    alive_F, dropped_F = mask_FD.sum(dim=1), (mask_FD & ~shed_FD).sum(dim=1)
    exact_F = alive_F.double() * torch.tensor(fractions, dtype=torch.float64)
    assert_lowest_are_shed(scores_FD, mask_FD, shed_FD)
    assert bool(((dropped_F - exact_F).abs() < 1 + 1e-6).all())
    assert bool((shed_FD.sum(dim=1) >= alive_F.clamp_max(1)).all())
    if bool((exact_F <= (alive_F - 1).clamp_min(0)).all()):
        assert int(dropped_F.sum()) == int(exact_F.sum() + 1e-6)


@law
@given(seed=seeds, keep=share, fractions=st.lists(share, min_size=CLUSTERS, max_size=CLUSTERS))
def test_clusters_of_columns_shed_their_shares_in_every_row(seed: int, keep: float, fractions: list[float]) -> None:
    scores_FD, mask_FD, cluster_D = draw(seed, keep)
    fractions[0], fractions[1] = 0.25, 0.5
    fraction_G = torch.tensor(fractions, dtype=torch.float64)
    shed_FD = shed_by_fractions(scores_FD, mask_FD, ColumnFractions(fraction_G=fraction_G, cluster_D=cluster_D))
    assert bool((shed_FD.sum(dim=1) >= mask_FD.sum(dim=1).clamp_max(1)).all())
    exact = 0.0
    for cluster in range(CLUSTERS):
        chosen = cluster_D == cluster
        alive_F, dropped_F = mask_FD[:, chosen].sum(dim=1), (mask_FD & ~shed_FD)[:, chosen].sum(dim=1)
        assert bool(((dropped_F - alive_F.double() * fraction_G[cluster]).abs() < 1 + 1e-6).all())
        assert_lowest_are_shed(scores_FD[:, chosen], mask_FD[:, chosen], shed_FD[:, chosen])
        exact += float((alive_F.double() * fraction_G[cluster]).sum())
    assert int(exact + 1e-6) - ROWS <= int((mask_FD & ~shed_FD).sum()) <= int(exact + 1e-6)


def assert_lowest_are_shed(scores_FD: Tensor, mask_FD: Tensor, shed_FD: Tensor) -> None:
    assert not bool((shed_FD & ~mask_FD).any())
    for row in range(len(scores_FD)):
        dropped = sorted(scores_FD[row][mask_FD[row] & ~shed_FD[row]].tolist())
        assert sorted(scores_FD[row][mask_FD[row]].tolist())[: len(dropped)] == dropped


def test_the_arguments_stay() -> None:
    scores_FD, mask_FD, cluster_D = draw(0, 0.8)
    before = [tensor.clone() for tensor in (scores_FD, mask_FD, cluster_D)]
    given_shares: list[Fractions] = [
        RowFractions(fraction_F=torch.linspace(0, 1, ROWS)),
        ColumnFractions(fraction_G=torch.tensor([0.1, 0.9, 1.0]), cluster_D=cluster_D),
    ]
    for fractions in given_shares:
        shed_by_fractions(scores_FD, mask_FD, fractions)
    assert all(torch.equal(one, other) for one, other in zip(before, (scores_FD, mask_FD, cluster_D), strict=True))


def test_a_row_keeps_its_best_weight_though_all_its_clusters_shed_everything() -> None:
    fractions = ColumnFractions(fraction_G=torch.tensor([1.0, 0.999999]), cluster_D=torch.tensor([0, 0, 1]))
    shed_FD = shed_by_fractions(torch.tensor([[1.0, 3.0, 2.0]]), torch.ones(1, 3, dtype=torch.bool), fractions)
    assert int(shed_FD.sum()) == 1


def test_by_hand_a_cluster_of_columns_is_thinned_by_itself() -> None:
    scores_FD = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]])
    fractions = ColumnFractions(fraction_G=torch.tensor([0.25, 0.75]), cluster_D=torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]))
    shed_FD = shed_by_fractions(scores_FD, torch.ones(1, 8, dtype=torch.bool), fractions)
    assert shed_FD.tolist() == [[False, True, True, True, False, False, False, True]]
