"""Shedding a share of its own from each row, or from each cluster of columns.

Shapes: F out_features, D in_features, G clusters of columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from birdbone.compress.shedding import drop_lowest, shed_lowest


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
    scores_FD: Float[Tensor, "F D"], mask_FD: Bool[Tensor, "F D"], fractions: Fractions
) -> Bool[Tensor, "F D"]:
    """Return the mask with each row, or each cluster of columns, thinned by its own share.

    Where all shares are equal this is `shed_lowest`: with one share for all there are no clusters to hold apart.
    Otherwise the linear sheds as many weights as its shares come to, rounded down once for all of it, so that shares
    that differ cost nothing in rounding.

    Args:
        scores_FD: larger is more important; comparable within a row. Not changed.
        mask_FD: True where a weight survives so far. Not changed.
    """
    share = fractions.fraction_F if isinstance(fractions, RowFractions) else fractions.fraction_G
    if bool((share == share[0]).all()):
        return shed_lowest(scores_FD, mask_FD, fraction=float(share[0]))
    if isinstance(fractions, RowFractions):
        return shed_rows(scores_FD, mask_FD, fraction_F=fractions.fraction_F)
    return shed_columns(scores_FD, mask_FD, fraction_G=fractions.fraction_G, cluster_D=fractions.cluster_D)


def shed_rows(
    scores_FD: Float[Tensor, "F D"], mask_FD: Bool[Tensor, "F D"], *, fraction_F: Float[Tensor, " F"]
) -> Bool[Tensor, "F D"]:
    """Return the mask with each row's lowest-scored survivors dropped: its share of them, rounded up or down.

    Args:
        fraction_F: 0 to 1 of a row's survivors; at least one survivor stays.
    """
    num_alive_F = mask_FD.sum(dim=1)
    exact_F = num_alive_F.double() * fraction_F.to(num_alive_F.device).double()
    num_dropped_F = _apportion(exact_F, limit_M=(num_alive_F - 1).clamp_min(0))
    return drop_lowest(scores_FD, mask_FD, num_dropped_F=num_dropped_F)


def shed_columns(
    scores_FD: Float[Tensor, "F D"],
    mask_FD: Bool[Tensor, "F D"],
    *,
    fraction_G: Float[Tensor, " G"],
    cluster_D: Int[Tensor, " D"],
) -> Bool[Tensor, "F D"]:
    """Return the mask with, in each row, the lowest-scored survivors of each cluster of columns dropped.

    Args:
        fraction_G: 0 to 1 of a cluster's survivors in each row, rounded up or down; a row keeps at least one survivor.
    """
    cluster_D, fraction_G = cluster_D.to(mask_FD.device), fraction_G.to(mask_FD.device).double()
    columns = [(cluster_D == cluster).nonzero().flatten() for cluster in range(len(fraction_G))]
    num_alive_FG = torch.stack([mask_FD[:, chosen].sum(dim=1) for chosen in columns], dim=1)
    exact_FG = num_alive_FG.double() * fraction_G
    num_dropped_FG = _apportion(exact_FG.flatten(), limit_M=num_alive_FG.flatten()).view_as(num_alive_FG)
    num_dropped_FG = _spare_one(num_dropped_FG, num_alive_FG)
    shed_FD = mask_FD.clone()
    for cluster, chosen in enumerate(columns):
        shed_FD[:, chosen] = drop_lowest(
            scores_FD[:, chosen], mask_FD[:, chosen], num_dropped_F=num_dropped_FG[:, cluster]
        )
    return shed_FD


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
