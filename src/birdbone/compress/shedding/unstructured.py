"""Shedding: taking the least important weights out, evenly within each row. Shapes: F out_features, D in_features."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def shed_lowest(
    scores_FD: Float[Tensor, "F D"], mask_FD: Bool[Tensor, "F D"], *, fraction: float
) -> Bool[Tensor, "F D"]:
    """Return the mask with the lowest-scored survivors of each row dropped, never more than `fraction` of them.

    Args:
        scores_FD: larger is more important; comparable within a row. Not changed.
        mask_FD: True where a weight survives so far. Not changed.
        fraction: of a row's survivors, rounded down; at least one survivor stays.
    """
    num_alive_F = mask_FD.sum(dim=1)
    num_dropped_F = torch.minimum((num_alive_F.double() * fraction).long(), (num_alive_F - 1).clamp_min(0))
    alive_scores_FD = scores_FD.float().masked_fill(~mask_FD, torch.inf)
    order_FD = alive_scores_FD.argsort(dim=1, stable=True)
    is_dropped_in_order_FD = torch.arange(scores_FD.shape[1], device=scores_FD.device) < num_dropped_F[:, None]
    is_dropped_FD = torch.zeros_like(mask_FD).scatter_(1, order_FD, is_dropped_in_order_FD)
    return mask_FD & ~is_dropped_FD


def sparsity(mask_FD: Bool[Tensor, "F D"]) -> float:
    """Return the share of weights that the mask drops."""
    return 1.0 - float(mask_FD.float().mean())
