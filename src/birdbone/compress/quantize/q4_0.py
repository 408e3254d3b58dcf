"""Rounding onto the Q4_0 grid of GGUF: blocks of 32 inputs, one fp16 scale a block, codes -8 to 7, no zero point.

Shapes: F out_features, D in_features, B = D / 32 blocks, K = 32 weights a block.

Theory of operation. Three parts that can be used alone:

1. `search_scales` picks each block's scale by weighted least squares over a few candidate ranges, with the mean square
   of each input as weight (what ggml calls the imatrix).
2. `round_with_feedback` rounds one input after the other and pushes each rounding error onto the inputs that are not
   rounded yet, through the inverse Hessian of the layer's inputs (GPTQ). The grid of a block is fixed when the sweep
   reaches it. A pruned weight has code 0, and its error is fed back like any other.
3. `refit_scales` keeps the codes and solves for the scales that are best for the layer's *output*.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.errors import SingularGramError
from birdbone.models.gguf import GgufType, QuantizedTensor

BLOCK_SIZE = 32
_LOWEST_CODE, _HIGHEST_CODE = GgufType.Q4_0.code_range
_MAX_PRODUCT_ELEMENTS = 1 << 25


def search_scales(
    w_FD: Float[Tensor, "F D"], importance_D: Float[Tensor, " D"], *, num_candidates: int = 9
) -> Float[Tensor, "F B"]:
    """Return one scale a block that minimises the importance-weighted squared error among candidate ranges.

    The weight with the largest magnitude is mapped near -8, the longer side of the grid; candidates move that target by
    tenths of a step, and each candidate's codes get their own weighted least-squares scale.

    Args:
        w_FD: weights, finite. Not changed.
        importance_D: mean square of each input, >= 0.
        num_candidates: odd; how many ranges are tried.

    Returns:
        Scales, exact in fp16. A negative one is usual: it puts the long side of the grid where the extreme weight is.
    Source: ggml `make_qx_quants` (weighted least-squares scale over shifted ranges); differs: tensors at once.
    """
    w_FBK = _blocks(w_FD)
    weight_BK = importance_D.float().clamp_min(1e-12).view(-1, BLOCK_SIZE)
    extreme_FB1 = w_FBK.gather(2, w_FBK.abs().argmax(dim=2, keepdim=True))
    best_FB = torch.zeros_like(extreme_FB1[..., 0])
    least_FB = torch.full_like(best_FB, torch.inf)
    for shift in torch.linspace(-0.8, 0.8, num_candidates).tolist():
        codes_FBK = _codes(w_FBK, extreme_FB1 / (_LOWEST_CODE + shift))
        scale_FB = _least_squares_scale(w_FBK, codes_FBK, weight_BK)
        error_FB = ((w_FBK - codes_FBK * scale_FB[..., None]).square() * weight_BK).sum(dim=2)
        is_better = error_FB < least_FB
        best_FB = torch.where(is_better, scale_FB, best_FB)
        least_FB = torch.where(is_better, error_FB, least_FB)
    return best_FB


def round_to_nearest(w_FD: Float[Tensor, "F D"], scales_FB: Float[Tensor, "F B"]) -> QuantizedTensor:
    """Return the nearest grid point of each weight, each on its own."""
    codes_FBK = _codes(_blocks(w_FD), scales_FB[..., None])
    return QuantizedTensor(type=GgufType.Q4_0, codes=codes_FBK.flatten(1).to(torch.int8), scales=scales_FB)


def round_with_feedback(
    w_FD: Float[Tensor, "F D"],
    gram_DD: Float[Tensor, "D D"],
    *,
    mask_FD: Bool[Tensor, "F D"] | None = None,
    damping: float = 0.01,
) -> QuantizedTensor:
    """Return codes and scales whose rounding errors are fed forward through the inverse Hessian of the inputs.

    Args:
        w_FD: weights, finite. Not changed.
        gram_DD: mean of x xᵀ over calibration tokens.
        mask_FD: True where a weight survives; the others get code 0. None: all survive.
        damping: share of the mean of the diagonal that is added to it.

    Raises:
        SingularGramError: the damped Gram matrix is not positive definite.
    Source: Frantar et al. 2022, arXiv:2210.17323, algorithm 1. Symbols: H = gram, Q = codes times scales. Differs: the
    grid is Q4_0 with scales by `search_scales` on the weights as updated so far; masked weights as in SparseGPT.
    """
    w_FD = w_FD.float().clone()
    upper_DD = _inverse_factor(gram_DD, damping=damping)
    importance_D = gram_DD.diagonal()
    codes_FD = torch.zeros_like(w_FD, dtype=torch.int8)
    scales_FB = w_FD.new_zeros(len(w_FD), w_FD.shape[1] // BLOCK_SIZE)
    for block, start in enumerate(range(0, w_FD.shape[1], BLOCK_SIZE)):
        span = slice(start, start + BLOCK_SIZE)
        survives_FK = None if mask_FD is None else mask_FD[:, span]
        w_FK = w_FD[:, span] if survives_FK is None else w_FD[:, span] * survives_FK
        scales_FB[:, block : block + 1] = search_scales(w_FK, importance_D[span])
        codes_FD[:, span], errors_FK = _round_block(
            w_FD[:, span], scales_FB[:, block], upper_DD[span, span], survives_FK
        )
        w_FD[:, span.stop :] -= errors_FK @ upper_DD[span, span.stop :]
    return QuantizedTensor(type=GgufType.Q4_0, codes=codes_FD, scales=scales_FB)


def refit_scales(
    w_FD: Float[Tensor, "F D"], quantized: QuantizedTensor, gram_DD: Float[Tensor, "D D"], *, damping: float = 1e-4
) -> QuantizedTensor:
    """Return the same codes with the scales that minimise the squared error of the layer's output, row by row.

    With c_b the codes of block b as a vector over all inputs, a row's output error is a quadratic form in its B scales;
    its minimum is one B x B solve a row. Rows are taken some at a time, so that memory stays bounded.

    Args:
        w_FD: the weights to imitate. Not changed.
        gram_DD: mean of x xᵀ over calibration tokens.
        damping: pull towards the scales as they are, as a share of the mean of the row's quadratic form's diagonal.

    Raises:
        SingularGramError: a row's system has no finite solution.
    """
    num_rows = max(1, _MAX_PRODUCT_ELEMENTS // (w_FD.shape[1] * quantized.scales.shape[1]))
    spans = [slice(start, start + num_rows) for start in range(0, len(w_FD), num_rows)]
    codes_FD, given_FB = quantized.codes, quantized.scales
    scales_FB = torch.cat(
        [_best_scales(w_FD[span], codes_FD[span], given_FB[span], gram_DD, damping=damping) for span in spans]
    )
    return QuantizedTensor(type=quantized.type, codes=quantized.codes, scales=_to_fp16_grid(scales_FB))


def output_error(w_FD: Float[Tensor, "F D"], approximation_FD: Float[Tensor, "F D"], gram_DD: Tensor) -> float:
    """Return the mean squared error of the layer's output, summed over its outputs: tr(E G Eᵀ)."""
    error_FD = w_FD.float() - approximation_FD
    return float(((error_FD @ gram_DD) * error_FD).sum())


def _blocks(w_FD: Tensor) -> Tensor:
    return w_FD.float().reshape(len(w_FD), -1, BLOCK_SIZE)


def _codes(w: Tensor, scale: Tensor) -> Tensor:
    inverse = torch.where(scale == 0, 0.0, 1.0 / scale)
    return (w * inverse).round().clamp(_LOWEST_CODE, _HIGHEST_CODE)


def _least_squares_scale(w_FBK: Tensor, codes_FBK: Tensor, weight_BK: Tensor) -> Tensor:
    numerator = (w_FBK * codes_FBK * weight_BK).sum(dim=2)
    denominator = (codes_FBK.square() * weight_BK).sum(dim=2)
    return _to_fp16_grid(torch.where(denominator > 0, numerator / denominator.clamp_min(1e-30), 0.0))


def _best_scales(w_FD: Tensor, codes_FD: Tensor, scales_FB: Tensor, gram_DD: Tensor, *, damping: float) -> Tensor:
    codes_FBK = _blocks(codes_FD)
    gram_BKBK = gram_DD.view(codes_FBK.shape[1], BLOCK_SIZE, codes_FBK.shape[1], BLOCK_SIZE)
    normal_FBB = torch.einsum("fbk,bkcl,fcl->fbc", codes_FBK, gram_BKBK, codes_FBK).double()
    target_FB = (_blocks(w_FD.float() @ gram_DD) * codes_FBK).sum(dim=2)
    ridge_F1 = damping * normal_FBB.diagonal(dim1=1, dim2=2).mean(dim=1, keepdim=True).clamp_min(1e-20)
    normal_FBB += torch.diag_embed(ridge_F1.expand_as(target_FB))
    solved_FB: Tensor = torch.linalg.solve_ex(normal_FBB, target_FB + ridge_F1 * scales_FB).result
    if not bool(solved_FB.isfinite().all()):
        raise SingularGramError("The best scales of a row have no finite solution.", damping=damping)
    return solved_FB.float()


def _to_fp16_grid(scales: Tensor) -> Tensor:
    return scales.half().float()


def _inverse_factor(gram_DD: Tensor, *, damping: float) -> Tensor:
    """Return the upper Cholesky factor of the inverse of the damped Gram matrix, rows scaled to a unit diagonal.

    An input that was never active (zero on the diagonal) gets 1 there, so that its weights are rounded plainly.
    """
    gram_DD = gram_DD.double()
    diagonal_D = gram_DD.diagonal()
    ridge_D = torch.where(diagonal_D == 0, 1.0, damping * diagonal_D.mean())
    lower_DD, failure = torch.linalg.cholesky_ex(gram_DD + torch.diag(ridge_D))
    upper_DD, failure_of_inverse = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower_DD), upper=True)
    if int(failure) != 0 or int(failure_of_inverse) != 0:
        raise SingularGramError(f"The Gram matrix of {len(gram_DD)} inputs is not positive definite.", damping=damping)
    unit_DD: Tensor = upper_DD / upper_DD.diagonal()[:, None]
    return unit_DD.float()


def _round_block(w_FK: Tensor, scale_F: Tensor, upper_KK: Tensor, survives_FK: Tensor | None) -> tuple[Tensor, Tensor]:
    """Round the inputs of one block in order. Changes `w_FK`. Returns codes (int8) and the errors to feed on."""
    codes_FK, errors_FK = torch.empty_like(w_FK), torch.empty_like(w_FK)
    for column in range(w_FK.shape[1]):
        codes_F = _codes(w_FK[:, column], scale_F)
        if survives_FK is not None:
            codes_F = codes_F * survives_FK[:, column]
        error_F = w_FK[:, column] - codes_F * scale_F
        w_FK[:, column + 1 :] -= error_F[:, None] * upper_KK[column, column + 1 :]
        codes_FK[:, column], errors_FK[:, column] = codes_F, error_F
    return codes_FK.to(torch.int8), errors_FK
