"""What rounding does to a linear's output on calibration text. Shapes: F out_features, D in_features."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def output_error(
    w_FD: Float[Tensor, "F D"], approximation_FD: Float[Tensor, "F D"], gram_DD: Float[Tensor, "D D"]
) -> float:
    """Return the mean squared error of the linear's output, summed over its outputs: tr(E G Eᵀ)."""
    error_FD = w_FD.float() - approximation_FD
    return float(((error_FD @ gram_DD) * error_FD).sum())


def relative_output_error(
    w_FD: Float[Tensor, "F D"], approximation_FD: Float[Tensor, "F D"], gram_DD: Float[Tensor, "D D"]
) -> float:
    """Return the squared error of the linear's output as a share of the output's own power; 0 for a silent linear."""
    power = float(((w_FD.float() @ gram_DD) * w_FD).sum())
    return output_error(w_FD, approximation_FD, gram_DD) / power if power > 0 else 0.0
