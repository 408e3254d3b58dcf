"""Which linears are worth more bits: those whose rounding hurts their output most for the bytes that it saves."""

from __future__ import annotations

from collections.abc import Mapping

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


def choose_promotions(errors: Mapping[str, float], num_weights: Mapping[str, int], *, share: float) -> list[str]:
    """Return the linears to store with more bits, in the order of `errors`.

    Taken are those with the largest relative error a weight, as long as they fit `share` of all weights; one that does
    not fit is passed over for a smaller one.

    Args:
        errors: relative output error of each linear as rounded to few bits.
        num_weights: weights of each.
        share: of all weights, that may be promoted.
    """
    budget = share * sum(num_weights.values())
    chosen = set()
    for name in sorted(errors, key=lambda name: errors[name] / num_weights[name], reverse=True):
        if num_weights[name] <= budget:
            chosen.add(name)
            budget -= num_weights[name]
    return [name for name in errors if name in chosen]
