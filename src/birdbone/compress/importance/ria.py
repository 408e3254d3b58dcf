"""RIA: a weight matters as much as it is large among its row and its column, and as its input is loud.

Shapes: F out_features, D in_features.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def ria_scores(
    w_FD: Float[Tensor, "F D"], mean_square_D: Float[Tensor, " D"], *, activation_power: float = 0.5
) -> Float[Tensor, "F D"]:
    """Return (|w| / its column's sum + |w| / its row's sum) times a power of the root mean square of its input.

    Comparable within a linear: the relative part has no units. It keeps inputs and outputs from dying whole.

    Args:
        w_FD: weights. Not changed. Those of a row or column that is all zero score 0.
        mean_square_D: E[x²] of each input over calibration tokens.
        activation_power: of the root mean square.
    Source: Zhang et al. 2024, "Plug-and-Play: an efficient post-training pruning method for large language models",
    ICLR (openreview.net/forum?id=Tr0lPx9woF), sec. 3, RIA. Symbols: a = activation_power. Differs: root mean square
    instead of the norm over tokens, the same order.
    """
    size_FD = w_FD.abs()
    share_FD = _share(size_FD, dim=0) + _share(size_FD, dim=1)
    return share_FD * mean_square_D.sqrt().pow(activation_power)


def _share(size_FD: Tensor, *, dim: int) -> Tensor:
    total = size_FD.sum(dim=dim, keepdim=True)
    return torch.where(total > 0, size_FD / total, 0.0)
