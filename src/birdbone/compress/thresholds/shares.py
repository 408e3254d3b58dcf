"""Shedding a share of its own from each row, or from each cluster of columns.

Shapes: F out_features, D in_features, G clusters of columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from birdbone.compress.shedding import shed_lowest


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFractions:
    """A share for each row of a linear: rows belong to units (gate, up, q, k, v)."""

    fraction_F: Float[Tensor, " F"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFractions:
    """A share for each cluster of columns: columns belong to units (down, o).

    Attributes:
        cluster_D: the cluster of each column, an index into `fraction_G`.
    """

    fraction_G: Float[Tensor, " G"]
    cluster_D: Int[Tensor, " D"]


Fractions = RowFractions | ColumnFractions
"""What share of its survivors each part of a linear sheds."""


def shed_by_fractions(
    scores_FD: Float[Tensor, "F D"],
    mask_FD: Bool[Tensor, "F D"],
    fractions: Fractions,
    *,
    place_FD: Int[Tensor, "F D"] | None = None,
) -> Bool[Tensor, "F D"]:
    """Return the mask with each row, or each cluster of columns, thinned by its own share, the lowest scores first.

    Where all shares are equal this is `shed_lowest`: with one share for all there are no clusters to hold apart.
    Otherwise the linear sheds as many weights as its shares come to, rounded down once for all of it, so that shares
    that differ cost nothing in rounding; each row, or each row's part of a cluster, is rounded up or down. At least one
    survivor of a row stays.

    Args:
        scores_FD: larger is more important; comparable within a row. Not changed.
        mask_FD: True where a weight survives so far. Not changed.
        place_FD: from `places_of` with the same clusters, where it is known: sorting is most of the work.
    """
    share = fractions.fraction_F if isinstance(fractions, RowFractions) else fractions.fraction_G
    if bool((share == share[0]).all()):
        return shed_lowest(scores_FD, mask_FD, fraction=float(share[0]))
    if isinstance(fractions, RowFractions):
        place_FD = places_of(scores_FD, mask_FD) if place_FD is None else place_FD
        return mask_FD & (place_FD >= _num_by_row(mask_FD, fractions.fraction_F)[:, None])
    place_FD = places_of(scores_FD, mask_FD, fractions.cluster_D) if place_FD is None else place_FD
    return mask_FD & (place_FD >= _num_by_cluster(mask_FD, fractions)[:, fractions.cluster_D.to(mask_FD.device)])


def places_of(
    scores_FD: Float[Tensor, "F D"], mask_FD: Bool[Tensor, "F D"], cluster_D: Int[Tensor, " D"] | None = None
) -> Int[Tensor, "F D"]:
    """Return the place of each survivor in its row, or in its row's part of its cluster: 0 goes first.

    Equal scores go from left to right. What is shed already comes after all survivors.
    """
    dtype = torch.int16 if scores_FD.shape[1] < 2**15 else torch.int32
    alive_scores_FD = scores_FD.float().masked_fill(~mask_FD, torch.inf)
    place_FD = torch.empty(scores_FD.shape, dtype=dtype, device=scores_FD.device)
    everything = torch.zeros(scores_FD.shape[1], dtype=torch.long) if cluster_D is None else cluster_D
    for cluster in torch.unique(everything).tolist():
        columns = (everything == cluster).nonzero().flatten().to(scores_FD.device)
        order_FC = alive_scores_FD[:, columns].argsort(dim=1, stable=True)
        counted_FC = torch.arange(len(columns), dtype=dtype, device=scores_FD.device).expand_as(order_FC)
        place_FD[:, columns] = torch.empty_like(counted_FC).scatter_(1, order_FC, counted_FC)
    return place_FD


def _num_by_row(mask_FD: Tensor, fraction_F: Tensor) -> Tensor:
    num_alive_F = mask_FD.sum(dim=1)
    exact_F = num_alive_F.double() * fraction_F.to(num_alive_F.device).double()
    return _apportion(exact_F, limit_M=(num_alive_F - 1).clamp_min(0))


def _num_by_cluster(mask_FD: Tensor, fractions: ColumnFractions) -> Tensor:
    cluster_D, fraction_G = fractions.cluster_D.to(mask_FD.device), fractions.fraction_G.to(mask_FD.device).double()
    num_alive_FG = torch.zeros(len(mask_FD), len(fraction_G), dtype=torch.long, device=mask_FD.device)
    num_alive_FG.index_add_(1, cluster_D, mask_FD.long())
    exact_FG = num_alive_FG.double() * fraction_G
    num_FG = _apportion(exact_FG.flatten(), limit_M=num_alive_FG.flatten()).view_as(num_alive_FG)
    return _spare_one(num_FG, num_alive_FG)


def _apportion(exact_M: Tensor, *, limit_M: Tensor) -> Tensor:
    """Return whole numbers that come to the sum of `exact_M`, rounded down: those that lost most by it get one more.

    Source: the largest remainders of Hamilton's method. None is above its limit, which may cost some of the sum.
    """
    base_M = torch.minimum(exact_M.floor(), limit_M.double())
    num_left = int((exact_M.sum() + 1e-6).floor() - base_M.sum())
    lost_M = (exact_M - base_M).masked_fill(base_M >= limit_M, -1.0)
    raised_M = lost_M.argsort(descending=True, stable=True)[: max(0, num_left)]
    raised_M = raised_M[lost_M[raised_M] > 0]
    return base_M.long().index_add_(0, raised_M, torch.ones_like(raised_M))


def _spare_one(num_dropped_FG: Tensor, num_alive_FG: Tensor) -> Tensor:
    """Return the numbers with one less where a row would lose its last survivor."""
    is_bare_F = (num_dropped_FG.sum(dim=1) >= num_alive_FG.sum(dim=1)) & (num_alive_FG.sum(dim=1) > 0)
    largest_F = num_dropped_FG.argmax(dim=1, keepdim=True)
    return num_dropped_FG.scatter_add(1, largest_F, -is_bare_F.long()[:, None])
