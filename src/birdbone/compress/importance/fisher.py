"""Fisher: a weight matters as much as the loss would rise without it, to second order, by the Fisher's diagonal.

Shapes: F out_features, D in_features.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def fisher_scores(w_FD: Float[Tensor, "F D"], mean_square_FD: Float[Tensor, "F D"]) -> Float[Tensor, "F D"]:
    """Return w² E[g²]; comparable between all weights of a model.

    Args:
        w_FD: weights. Not changed.
        mean_square_FD: mean, over calibration windows, of the squared gradient of the window's loss.
    Source: Theis et al. 2018, arXiv:1801.05787, sec. 2.2, Fisher pruning, for single weights. Symbols: g = gradient of
    one sample's loss. Differs: a sample is a window of tokens; the factor 1/2 is left out.
    """
    return w_FD.square() * mean_square_FD
