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

    Args:
        scores_FD: larger is more important; comparable within a row. Not changed.
        mask_FD: True where a weight survives so far. Not changed.
    """
    if isinstance(fractions, RowFractions):
        return shed_rows(scores_FD, mask_FD, fraction_F=fractions.fraction_F)
    if bool((fractions.fraction_G == fractions.fraction_G[0]).all()):
        return shed_lowest(scores_FD, mask_FD, fraction=float(fractions.fraction_G[0]))
    return shed_columns(scores_FD, mask_FD, fraction_G=fractions.fraction_G, cluster_D=fractions.cluster_D)


def shed_rows(
    scores_FD: Float[Tensor, "F D"], mask_FD: Bool[Tensor, "F D"], *, fraction_F: Float[Tensor, " F"]
) -> Bool[Tensor, "F D"]:
    """Return the mask with each row's lowest-scored survivors dropped, never more than the row's share of them.

    Args:
        fraction_F: 0 to 1 of a row's survivors, rounded down; at least one survivor stays.
    """
    num_alive_F = mask_FD.sum(dim=1)
    num_dropped_F = (num_alive_F.double() * fraction_F.to(num_alive_F.device).double()).long()
    return drop_lowest(scores_FD, mask_FD, num_dropped_F=torch.minimum(num_dropped_F, (num_alive_F - 1).clamp_min(0)))


def shed_columns(
    scores_FD: Float[Tensor, "F D"],
    mask_FD: Bool[Tensor, "F D"],
    *,
    fraction_G: Float[Tensor, " G"],
    cluster_D: Int[Tensor, " D"],
) -> Bool[Tensor, "F D"]:
    """Return the mask with, in each row, the lowest-scored survivors of each cluster of columns dropped.

    A row sheds the sum of its clusters' shares, rounded down; what rounding leaves over goes to the clusters that lost
    most by it. At least one survivor of a row stays.
    """
    cluster_D, fraction_G = cluster_D.to(mask_FD.device), fraction_G.to(mask_FD.device).double()
    columns = [(cluster_D == cluster).nonzero().flatten() for cluster in range(len(fraction_G))]
    num_alive_FG = torch.stack([mask_FD[:, chosen].sum(dim=1) for chosen in columns], dim=1)
    num_dropped_FG = _apportion(num_alive_FG, fraction_G)
    shed_FD = mask_FD.clone()
    for cluster, chosen in enumerate(columns):
        if len(chosen):
            shed_FD[:, chosen] = drop_lowest(
                scores_FD[:, chosen], mask_FD[:, chosen], num_dropped_F=num_dropped_FG[:, cluster]
            )
    return shed_FD


def _apportion(num_alive_FG: Tensor, fraction_G: Tensor) -> Tensor:
    """Return how many each cluster sheds in each row: whole numbers that add up to the row's own, rounded down."""
    exact_FG = num_alive_FG.double() * fraction_G
    base_FG = exact_FG.floor()
    num_left_F = (exact_FG.sum(dim=1) + 1e-9).floor() - base_FG.sum(dim=1)
    order_FG = (exact_FG - base_FG).argsort(dim=1, descending=True, stable=True)
    is_raised_FG = torch.arange(len(fraction_G), device=base_FG.device) < num_left_F[:, None]
    num_dropped_FG = (base_FG + torch.zeros_like(base_FG).scatter_(1, order_FG, is_raised_FG.double())).long()
    num_dropped_FG = torch.minimum(num_dropped_FG, num_alive_FG)
    is_bare_F = (num_dropped_FG.sum(dim=1) >= num_alive_FG.sum(dim=1)) & (num_alive_FG.sum(dim=1) > 0)
    largest_F = num_dropped_FG.argmax(dim=1, keepdim=True)
    return num_dropped_FG.scatter_add_(1, largest_F, -is_bare_F.long()[:, None])
