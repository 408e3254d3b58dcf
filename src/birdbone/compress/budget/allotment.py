"""Spreading a sparsity over linears so that the next weight costs the same everywhere. Shapes: K profile points."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.errors import BudgetError

_NUM_HALVINGS = 100


def allot_sparsity(
    profiles: Mapping[str, Float[Tensor, " K"]], sizes: Mapping[str, int], *, sparsity: float, reach: float
) -> dict[str, float]:
    """Return the sparsity of each linear: their mean, weighted by size, is `sparsity`.

    The sum of damages is least where the marginal damage is the same in every linear, as profiles never fall; so one
    price is sought, and each linear sheds what costs less.

    Args:
        profiles: of `damage_profile`, by path; positive, never falling.
        sizes: number of weights, by path.
        sparsity: what is to be reached over all.
        reach: how far a linear may lie from it.

    Raises:
        BudgetError: sparsity or reach is out of range.
    Source: Lagrange multiplier of a separable convex sum, as in Yin et al. 2023 (OWL), arXiv:2310.05175, for the
    bounds; differs: damage in loss instead of a count of outliers.
    """
    if not 0 < sparsity < 1 or not 0 <= reach < 1:
        raise BudgetError(f"A sparsity of {sparsity} within {reach} cannot be spread: both lie between 0 and 1.")
    low, high = max(0.0, sparsity - reach), min(0.99, sparsity + reach)
    logs = {path: profile_K.double().clamp_min(1e-300).log() for path, profile_K in profiles.items()}
    cheap = min(float(log_K[0]) for log_K in logs.values()) - 1
    dear = max(float(log_K[-1]) for log_K in logs.values()) + 1
    for _ in range(_NUM_HALVINGS):
        price = (cheap + dear) / 2
        allotted = {path: min(max(_share_below(log_K, price), low), high) for path, log_K in logs.items()}
        if _mean(allotted, sizes) < sparsity:
            cheap = price
        else:
            dear = price
    return _settle(allotted, sizes, sparsity, low, high)


def _settle(
    allotted: Mapping[str, float], sizes: Mapping[str, int], sparsity: float, low: float, high: float
) -> dict[str, float]:
    """Move all that have room by the same, where several linears jump at one price, until the mean is met."""
    settled = dict(allotted)
    for _ in range(_NUM_HALVINGS):
        missing = sparsity - _mean(settled, sizes)
        if abs(missing) < 1e-9:
            break
        settled = {path: min(max(value + missing, low), high) for path, value in settled.items()}
    return settled


def _share_below(log_K: Tensor, price: float) -> float:
    """Return the share of weights that cost less than `price`, read between the points of a profile."""
    above = int(torch.searchsorted(log_K, price))
    if above in (0, len(log_K)):
        return float(above) / len(log_K)
    left, right = float(log_K[above - 1]), float(log_K[above])
    part = (price - left) / (right - left) if right > left else 0.0
    return (above - 0.5 + part) / len(log_K)


def _mean(allotted: Mapping[str, float], sizes: Mapping[str, int]) -> float:
    return sum(value * sizes[path] for path, value in allotted.items()) / sum(sizes.values())
