"""Gram matrices of a linear's inputs, looked at and made fit to be inverted. Shapes: D in_features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.errors import NonFiniteStatisticsError, SilentInputError, SingularGramError


def damp(gram_DD: Float[Tensor, "D D"], damping: float, *, silent_ridge: float | None = None) -> Float[Tensor, "D D"]:
    """Return the matrix with a share of the mean of its diagonal added to each input, in its own precision.

    Args:
        gram_DD: mean of x xᵀ over calibration tokens. Not changed.
        silent_ridge: what an input that was never active gets instead, so that its weights are judged plainly.
    """
    diagonal_D = gram_DD.diagonal()
    ridge_D = (damping * diagonal_D.mean()).expand(len(gram_DD))
    if silent_ridge is not None:
        ridge_D = torch.where(diagonal_D == 0, silent_ridge, ridge_D)
    return gram_DD + torch.diag(ridge_D)


def cholesky(damped_DD: Float[Tensor, "D D"], *, damping: float) -> Float[Tensor, "D D"]:
    """Return the lower Cholesky factor of a damped Gram matrix; `damping` is only told in the error.

    Raises:
        SingularGramError: the matrix is not positive definite, or a value in it is not finite.
    """
    lower_DD: Tensor
    lower_DD, failure = torch.linalg.cholesky_ex(damped_DD)
    if int(failure) != 0:
        raise SingularGramError(
            f"The Gram matrix of {len(damped_DD)} inputs is not positive definite.", damping=damping
        )
    return lower_DD


def invert(damped_DD: Float[Tensor, "D D"], *, damping: float) -> Float[Tensor, "D D"]:
    """Return the inverse of a damped Gram matrix. Raises what `cholesky` does."""
    return torch.cholesky_inverse(cholesky(damped_DD, damping=damping))


def require_alive(gram_DD: Float[Tensor, "D D"], path: str) -> None:
    """Raise unless the inputs of the linear at `path` were finite, and not all of them zero.

    Raises:
        NonFiniteStatisticsError, SilentInputError: what they look like (names the linear).
    """
    power_D = gram_DD.diagonal()
    if not bool(power_D.isfinite().all()):  # no |entry| exceeds the larger of its two diagonal entries
        raise NonFiniteStatisticsError(f"The inputs of {path} are not finite on the calibration text.", layer=path)
    if float(power_D.max()) <= 0.0:
        raise SilentInputError(f"The inputs of {path} are zero on all of the calibration text.", layer=path)
