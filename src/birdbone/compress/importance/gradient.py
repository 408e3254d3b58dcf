"""Gradient: a weight matters as much as the loss would change without it, to first order.

Shapes: F out_features, D in_features.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def gradient_scores(w_FD: Float[Tensor, "F D"], gradient_FD: Float[Tensor, "F D"]) -> Float[Tensor, "F D"]:
    """Return |w g|, in units of the loss; comparable between all weights of a model.

    Args:
        w_FD: weights. Not changed.
        gradient_FD: mean gradient of the loss over calibration windows.
    Source: Molchanov et al. 2019, arXiv:1906.10771, sec. 3.1, the first-order criterion. Differs: |w g| instead of its
    square, the same order.
    """
    return (w_FD * gradient_FD).abs()
