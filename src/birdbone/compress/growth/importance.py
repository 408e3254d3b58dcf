"""What structures are worth, each score for a whole group of weights. Pure functions; higher is more important.

Shapes: F out_features, D in_features, G units of W adjacent inputs each (D = G W).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.growth.dependency import Piece


def activation_power(
    w_FD: Float[Tensor, "F D"], mean_square_D: Float[Tensor, " D"], *, unit_width: int = 1
) -> Float[Tensor, " G"]:
    """Return the power that each unit of inputs puts into the output if units were uncorrelated: E[x²] times |column|².

    Source: Sun et al. 2023 (Wanda), arXiv:2306.11695, eq. 1. Differs: squared, and summed over outputs and over the
    inputs of a unit.
    """
    return _by_unit(mean_square_D * w_FD.float().square().sum(dim=0), unit_width)


def fluctuation(
    w_FD: Float[Tensor, "F D"],
    mean_square_D: Float[Tensor, " D"],
    mean_D: Float[Tensor, " D"],
    *,
    unit_width: int = 1,
) -> Float[Tensor, " G"]:
    """Return the power of each unit's output around its mean, which a bias could stand in for.

    Source: An et al. 2023 (FLAP), arXiv:2312.11983, eq. 5.
    """
    variance_D = (mean_square_D - mean_D.square()).clamp_min(0.0)
    return _by_unit(variance_D * w_FD.float().square().sum(dim=0), unit_width)


def taylor_of_pieces(weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor], pieces: Iterable[Piece]) -> float:
    """Return the first-order estimate of what a group's removal does to the loss: the sum of |weight gradient|.

    Source: Ma et al. 2023 (LLM-Pruner), arXiv:2305.11627, eq. 3 and 5 (element-wise, summed over the group).
    """
    total = 0.0
    for piece in pieces:
        saliency = (weights[piece.tensor].detach() * gradients[piece.tensor]).abs()
        if piece.axis is not None:
            saliency = saliency.index_select(piece.axis, torch.tensor(piece.indices))
        total += float(saliency.sum())
    return total


def taylor_by_position(
    weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor], pieces: Iterable[Piece]
) -> Float[Tensor, " P"]:
    """Return the same for every position at once: the pieces hold one index for each position, in one order."""
    total: Tensor | None = None
    for piece in pieces:
        assert piece.axis is not None, "a whole tensor has no positions"
        saliency = (weights[piece.tensor].detach() * gradients[piece.tensor]).abs()
        summed = saliency.sum(dim=[axis for axis in range(saliency.ndim) if axis != piece.axis])
        summed = summed.index_select(0, torch.tensor(piece.indices))
        total = summed if total is None else total + summed
    assert total is not None, "there are no pieces"
    return total


def _by_unit(value_D: Tensor, unit_width: int) -> Tensor:
    return value_D.reshape(-1, unit_width).sum(dim=1)
