"""Exact refit of what survives a mask, by masked conjugate gradients. Shapes: F out_features, D in_features."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.gram import damp


def refit_survivors(
    w_FD: Float[Tensor, "F D"],
    mask_FD: Bool[Tensor, "F D"],
    gram_DD: Float[Tensor, "D D"],
    *,
    num_iterations: int = 20,
    damping: float = 0.01,
    start_FD: Float[Tensor, "F D"] | None = None,
) -> Float[Tensor, "F D"]:
    """Return weights, zero off the mask, whose outputs are closest to those of `w_FD` on the calibration inputs.

    Solves, for all rows at once, min over v (v = 0 off the mask) of (v - w) G (v - w)ᵀ with G the damped Gram matrix,
    by conjugate gradients with the diagonal of G as preconditioner. That error never grows from one iteration to the
    next.

    Args:
        w_FD: the weights to imitate (dense). Not changed.
        mask_FD: True where a weight survives.
        gram_DD: mean of x xᵀ over calibration tokens.
        num_iterations: each costs one F x D x D product.
        damping: share of the mean of the diagonal added to it; keeps weights of silent inputs where they are.
        start_FD: where to start (off-mask values are dropped); default `w_FD`.
    Source: Meng et al. 2024 (ALPS), arXiv:2406.07831, sec. 3.2, the PCG step on a fixed support.
    """
    gram_DD = damp(gram_DD, damping)
    v_FD = torch.where(mask_FD, w_FD if start_FD is None else start_FD, 0.0)
    inverse_D = 1.0 / gram_DD.diagonal().clamp_min(1e-12)
    survives_FD = mask_FD.to(w_FD.dtype)  # a product with truth values is several times slower
    residual_FD = ((w_FD - v_FD) @ gram_DD).mul_(survives_FD)
    z_FD = residual_FD * inverse_D
    direction_FD, product_FD = z_FD.clone(), torch.empty_like(z_FD)
    rho_F1 = _dot(residual_FD, z_FD)
    for _ in range(num_iterations):
        torch.mm(direction_FD, gram_DD, out=product_FD)
        product_FD *= survives_FD
        step_F1 = _safe_ratio(rho_F1, _dot(direction_FD, product_FD))
        v_FD.addcmul_(step_F1, direction_FD)
        residual_FD.addcmul_(step_F1, product_FD, value=-1)
        torch.mul(residual_FD, inverse_D, out=z_FD)
        next_rho_F1 = _dot(residual_FD, z_FD)
        direction_FD.mul_(_safe_ratio(next_rho_F1, rho_F1)).add_(z_FD)
        rho_F1 = next_rho_F1
    return v_FD


def _dot(left_FD: Tensor, right_FD: Tensor) -> Tensor:
    dots_F: Tensor = torch.linalg.vecdot(left_FD, right_FD)
    return dots_F[:, None]


def _safe_ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator.clamp_min(1e-30), 0.0)
