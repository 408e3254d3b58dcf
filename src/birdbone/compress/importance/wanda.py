"""Wanda: a weight matters as much as it is large and as its input is loud. Shapes: F out_features, D in_features."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def wanda_scores(w_FD: Float[Tensor, "F D"], mean_square_D: Float[Tensor, " D"]) -> Float[Tensor, "F D"]:
    """Return |w| times the root mean square of its input; comparable within a row.

    Args:
        w_FD: weights. Not changed.
        mean_square_D: E[x²] of each input over calibration tokens.
    Source: Sun et al. 2023, arXiv:2306.11695, eq. 1. Symbols: S = scores, ‖X_j‖ = sqrt(mean square times tokens).
    Differs: root mean square instead of the norm over tokens, the same order within a layer.
    """
    return w_FD.abs() * mean_square_D.sqrt()
