"""How far metrics agree on which weights matter. Shapes: M metrics, N weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def ranks(scores_MN: Float[Tensor, "M N"]) -> Float[Tensor, "M N"]:
    """Return the rank of each weight by each metric, from 1 for the smallest score; ties share their mean rank."""
    return torch.stack([_ranks(scores_N) for scores_N in scores_MN])


def rank_correlations(scores_MN: Float[Tensor, "M N"]) -> Float[Tensor, "M M"]:
    """Return Spearman's correlation of each pair of metrics; NaN where a metric gives all weights the same score.

    Source: Spearman 1904, the correlation of ranks, ties at their mean rank.
    """
    centred_MN = ranks(scores_MN)
    centred_MN -= centred_MN.mean(dim=1, keepdim=True)
    product_MM = centred_MN @ centred_MN.T
    length_M = product_MM.diagonal().sqrt()
    return product_MM / (length_M[:, None] * length_M)


def top_overlaps(scores_MN: Float[Tensor, "M N"], *, share: float) -> Float[Tensor, "M M"]:
    """Return, for each pair of metrics, the share of one's top weights that are among the other's.

    Two metrics that know nothing of each other would come to `share`. Of equal scores the first are taken.

    Args:
        share: how many of the weights are the top, rounded down, at least one.
    """
    count = max(1, int(share * scores_MN.shape[1]))
    order_MN = scores_MN.argsort(dim=1, descending=True, stable=True)
    is_top_MN = torch.zeros_like(scores_MN, dtype=torch.float64).scatter_(1, order_MN[:, :count], 1.0)
    return is_top_MN @ is_top_MN.T / count


def _ranks(scores_N: Tensor) -> Tensor:
    _, places_N, counts = scores_N.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    mean_ranks: Tensor = counts.cumsum(0).double() - (counts - 1) / 2
    return mean_ranks[places_N]
