"""Pruner-Zero: the expression of weights and gradients that a genetic search found best.

Shapes: F out_features, D in_features.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def pruner_zero_scores(w_FD: Float[Tensor, "F D"], mean_square_FD: Float[Tensor, "F D"]) -> Float[Tensor, "F D"]:
    """Return w² σ(G), with G the root mean square of the gradient and σ its scaling to 0 to 1 over the linear.

    Comparable within a linear only: σ is anew in each. The weight with the smallest gradient scores 0, however large.

    Args:
        w_FD: weights. Not changed.
        mean_square_FD: mean, over calibration windows, of the squared gradient of the window's loss.
    Source: Dong et al. 2024, arXiv:2406.02924, table 1, the metric found. Symbols: σ = min-max scaling, G = gradient
    (its norm over samples, as in the authors' code). Differs: where all gradients are equal, σ is 1 instead of 0/0.
    """
    size_FD = mean_square_FD.sqrt()
    low, high = size_FD.min(), size_FD.max()
    scaled_FD = torch.where(high > low, (size_FD - low) / (high - low), 1.0)
    return w_FD.square() * scaled_FD
