"""How much of a structure's work others do already. Pure functions.

Shapes: T tokens, D and E features, N batches, G units of W adjacent features each (D = G W).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.gram import damp, invert


def linear_cka(x_TD: Float[Tensor, "T D"], y_TE: Float[Tensor, "T E"]) -> float:
    """Return how alike two sets of features are up to rotation and scale, from 0 to 1; 0 where one is constant.

    Biased upwards where T is small beside D: see `unbiased_cka`.
    Source: Kornblith et al. 2019, arXiv:1905.00414, eq. 4 with linear kernels on centred features.
    """
    x_TD, y_TE = _centred(x_TD), _centred(y_TE)
    cross = (x_TD.T @ y_TE).square().sum()
    scale = (x_TD.T @ x_TD).norm() * (y_TE.T @ y_TE).norm()
    return float(cross / scale) if float(scale) > 0 else 0.0


def unbiased_cka(x_TD: Float[Tensor, "T D"], y_TE: Float[Tensor, "T E"]) -> float:
    """Return CKA from unbiased estimates of HSIC: unrelated features give 0 on average, so it may fall below 0.

    Raises:
        ValueError: fewer than 4 tokens.
    Source: Nguyen et al. 2021, arXiv:2010.15327, eq. 2-3 (HSIC of Song et al. 2012, eq. 5).
    """
    if len(x_TD) < 4:
        raise ValueError(f"unbiased CKA needs at least 4 tokens, {len(x_TD)} came")
    kernel_TT, other_TT = _kernel(x_TD), _kernel(y_TE)
    scale = _hsic(kernel_TT, kernel_TT) * _hsic(other_TT, other_TT)
    return float(_hsic(kernel_TT, other_TT) / scale.sqrt()) if float(scale) > 0 else 0.0


def block_influence(x_TD: Float[Tensor, "T D"], y_TD: Float[Tensor, "T D"]) -> float:
    """Return one less the mean cosine of a block's input and output, token by token: 0 says that it turns nothing.

    Source: Men et al. 2024 (ShortGPT), arXiv:2403.03853, eq. 1.
    """
    return float(1.0 - torch.cosine_similarity(x_TD.detach().float(), y_TD.detach().float(), dim=1).mean())


def unit_reconstruction_errors(
    gram_DD: Float[Tensor, "D D"], *, unit_width: int = 1, damping: float = 1e-4
) -> Float[Tensor, " G"]:
    """Return for each unit the share of its power that the best linear map of all other units cannot give back.

    With P the inverse of the damped Gram matrix, what is left of unit g is the trace of the inverse of its own block of
    P (the Schur complement), here over the power of the unit. 1: nothing else knows what it says. 0: it is redundant.
    A silent unit counts as redundant.

    Args:
        gram_DD: mean of x xᵀ over tokens, not centred. Not changed.
        unit_width: W adjacent features of a unit: 1 for neurons, the head's width for heads.
        damping: share of the mean of the diagonal that is added to it.

    Raises:
        SingularGramError: the damped matrix is not positive definite.
    """
    power_D = gram_DD.diagonal().double()
    ridge = damping * power_D.mean()
    precision_DD = invert(damp(gram_DD.double(), damping), damping=damping)
    own_GWW = precision_DD.reshape(len(power_D) // unit_width, unit_width, -1, unit_width)
    own_GWW = own_GWW.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    left_G: Tensor = torch.linalg.inv(own_GWW).diagonal(dim1=1, dim2=2).sum(dim=1)
    power_G = (power_D + ridge).reshape(-1, unit_width).sum(dim=1)
    return (left_G / power_G).clamp(0.0, 1.0).masked_fill(power_D.reshape(-1, unit_width).sum(dim=1) == 0, 0.0)


def block_reconstruction_error(x_TD: Float[Tensor, "T D"], update_TE: Float[Tensor, "T E"]) -> float:
    """Return the share of what a block adds that no linear map of its input gives; a small ridge keeps it defined.

    An estimate from the tokens that the map is fitted on: too low where T is not several times D.
    """
    x_TD, update_TE = x_TD.double(), update_TE.double()
    gram_DD = x_TD.T @ x_TD
    gram_DD += 1e-6 * gram_DD.diagonal().mean().clamp_min(1e-30) * torch.eye(len(gram_DD), dtype=torch.float64)
    map_DE = torch.linalg.solve(gram_DD, x_TD.T @ update_TE)
    power = update_TE.square().sum()
    return float((update_TE - x_TD @ map_DE).square().sum() / power) if float(power) > 0 else 0.0


def _centred(x_TD: Tensor) -> Tensor:
    return x_TD.double() - x_TD.double().mean(dim=0)


def _kernel(x_TD: Tensor) -> Tensor:
    kernel_TT = x_TD.double() @ x_TD.double().T
    return kernel_TT.fill_diagonal_(0.0)


def _hsic(a_TT: Tensor, b_TT: Tensor) -> Tensor:
    """Return n (n - 3) times the unbiased HSIC of two kernels with zero diagonals; the factor cancels in CKA."""
    count = len(a_TT)
    middle = a_TT.sum() * b_TT.sum() / ((count - 1) * (count - 2))
    return (a_TT * b_TT).sum() + middle - 2.0 / (count - 2) * (a_TT.sum(dim=0) * b_TT.sum(dim=0)).sum()
