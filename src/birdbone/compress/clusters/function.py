"""Figures of what a unit does, and its co-activation, from the sums of a pass. Shapes: U units, P buckets."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.clusters.activations import ActivationSums
from birdbone.compress.clusters.token_classes import TOKEN_CLASSES

_FLOOR = 1e-6  # of what is usual in the layer: a logarithm of nothing has no end


def variance(sums: ActivationSums) -> Float[Tensor, " U"]:
    """Return the variance of each unit over tokens, in the units of its activation squared."""
    mean_U, square_U = sums.power_4U[0] / sums.num_tokens, sums.power_4U[1] / sums.num_tokens
    return (square_U - mean_U.square()).clamp_min(0)


def density(sums: ActivationSums) -> Float[Tensor, " U"]:
    """Return (E|x|)² / E[x²]: 1 of a unit that is always equally loud, near 0 of one that speaks on few tokens.

    A unit that is never on has 0.
    Source: Treves and Rolls 1991, "What determines the capacity of autoassociative memories in the brain?", eq. for the
    sparseness a. It needs no threshold above which a unit counts as on.
    """
    square_U = sums.power_4U[1] / sums.num_tokens
    return ((sums.absolute_U / sums.num_tokens).square() / square_U.clamp_min(1e-300)).clamp(0, 1)


def kurtosis(sums: ActivationSums) -> Float[Tensor, " U"]:
    """Return E[(x - mean)⁴] / variance², 3 of a normal distribution; of a unit that never changes 1, the least."""
    mean_U, square_U, cube_U, fourth_U = sums.power_4U / sums.num_tokens
    central_U = fourth_U - 4 * mean_U * cube_U + 6 * mean_U.square() * square_U - 3 * mean_U.pow(4)
    spread_U = variance(sums)
    is_constant_U = spread_U <= 1e-12 * square_U.clamp_min(1e-300)
    return torch.where(is_constant_U, 1.0, central_U / spread_U.square().clamp_min(1e-300)).clamp_min(1.0)


def function_figures(sums: ActivationSums) -> dict[str, Float[Tensor, " U"]]:
    """Return the figures of a layer's units by name; loudness is relative to the layer's, so that layers compare.

    Logarithms where a figure runs over orders of magnitude. An answer to a class of token is the logarithm of the mean
    |x| on it over the mean |x| on all; a class that the text lacks is absent.
    """
    rms_U = (sums.power_4U[1] / sums.num_tokens).sqrt()
    usual = rms_U.square().mean().sqrt().clamp_min(1e-30)
    absolute_U = sums.absolute_U / sums.num_tokens
    figures = {
        "mean": sums.power_4U[0] / sums.num_tokens / usual,
        "log variance": _log(variance(sums) / usual.square()),
        "density": density(sums),
        "log peak": _log(sums.peak_U / rms_U.clamp_min(1e-30)),
        "log kurtosis": kurtosis(sums).log(),
        "on first": _log(sums.first_U / sums.num_windows / usual) - _log(absolute_U / usual),
    }
    for number, name in enumerate(TOKEN_CLASSES):
        if sums.class_C[number] > 0:
            mean_U = sums.class_CU[number] / sums.class_C[number]
            figures[f"on {name}"] = _log(mean_U / usual) - _log(absolute_U / usual)
    return figures


def coactivation_rows(sums: ActivationSums) -> Float[Tensor, "U P"]:
    """Return a row a unit; the inner product of two rows estimates the correlation of the two units over tokens.

    Unbiased over signs, with a standard error of about 1 / sqrt(P); exact where each token has its own bucket. A unit
    that never changes has a row of zeros.
    """
    mean_U, spread_U = sums.power_4U[0] / sums.num_tokens, variance(sums)
    centred_PU = sums.sketch_PU.double() - sums.sign_P.double()[:, None] * mean_U
    norm_U = (spread_U * sums.num_tokens).sqrt()
    is_constant_U = spread_U <= 1e-12 * (sums.power_4U[1] / sums.num_tokens).clamp_min(1e-300)
    return torch.where(is_constant_U, 0.0, centred_PU / norm_U.clamp_min(1e-150)).T


def _log(value: Tensor) -> Tensor:
    return (value + _FLOOR).log()
