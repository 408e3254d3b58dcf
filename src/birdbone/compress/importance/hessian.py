"""Hessian: a weight matters as much as the output errs without it once its row is refitted (OBS).

Shapes: F out_features, D in_features.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from birdbone.compress.gram import damp, invert


def hessian_scores(
    w_FD: Float[Tensor, "F D"], gram_DD: Float[Tensor, "D D"], *, damping: float = 0.01
) -> Float[Tensor, "F D"]:
    """Return w² / [G⁻¹]_jj: the rise of the mean squared output error when the weight goes and its row is refitted.

    Exact for one weight at a time, with the damped G; comparable within a linear, and between linears in units of their
    outputs squared.

    Args:
        w_FD: weights. Not changed.
        gram_DD: mean of x xᵀ over calibration tokens.
        damping: share of the mean of the diagonal that is added to it; an input that was never active gets 1 there.

    Raises:
        SingularGramError: the damped Gram matrix is not positive definite.
    Source: Hassibi and Stork 1992, "Second order derivatives for network pruning"; Frantar and Alistarh 2023,
    arXiv:2301.00774, eq. 3, ε. Symbols: H = gram, up to a factor that is the same for all weights of the linear.
    """
    inverse_DD = invert(damp(gram_DD, damping, silent_ridge=1.0), damping=damping)
    return w_FD.square() / inverse_DD.diagonal()
