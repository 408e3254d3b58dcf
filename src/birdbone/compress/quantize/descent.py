"""Bringing codes and scales nearer to the layer's output in turns, each step exact.

Shapes: F out_features, D in_features, B = D / 32 blocks, K = 32 weights a block, P parameters of a row's grids.

Theory of operation. The error of the output is quadratic in the weights: tr(E H Eᵀ) with H the damped Gram matrix. With
the scales held, the best value of one weight, all others held, is known in closed form, and the grid point nearest to
it is the best code; going through the inputs once costs as much as a sweep of GPTQ and, unlike that, looks at every
input with the errors of all others known. With the codes held, the best scales (and mins) of a row are the solution of
a small linear system. Neither step can raise the error, so they alternate.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.gram import damp
from birdbone.compress.quantize.grids import ColumnRounder, Grid
from birdbone.models.gguf import BLOCK_SIZE, QuantizedTensor

_MAX_NUMBERS = 1 << 24
"""Of the largest intermediate of the scales' systems: 64 MiB."""


def descend(
    tensor: QuantizedTensor,
    w_FD: Float[Tensor, "F D"],
    gram_DD: Float[Tensor, "D D"],
    *,
    num_sweeps: int = 2,
    damping: float = 0.01,
    mask_FD: Bool[Tensor, "F D"] | None = None,
) -> QuantizedTensor:
    """Return codes and scales whose damped output error is at most that of `tensor`, in every row.

    Args:
        tensor: where to start, such as what feedback gave.
        w_FD: the weights to come near to, finite. Not changed.
        gram_DD: mean of x xᵀ over calibration tokens.
        num_sweeps: rounds of scales, then codes; 0 gives `tensor` back.
        damping: share of the mean of the diagonal that is added to it.
        mask_FD: True where a weight survives; the others keep code 0.

    Source: coordinate descent on codes as in Behdin et al. 2023 (QuantEase), arXiv:2309.01885, eq. 7. Symbols: Σ = H.
    Differs: the scales, which that work holds, are solved for before each sweep; fp16 scales.
    """
    w_FD, gram_DD = w_FD.float(), damp(gram_DD.double(), damping, silent_ridge=1.0).float()
    for _ in range(num_sweeps):
        tensor = refit_scales(tensor, w_FD, gram_DD)
        tensor = _sweep_codes(tensor, w_FD, gram_DD, mask_FD)
    return tensor


def refit_scales(tensor: QuantizedTensor, w_FD: Float[Tensor, "F D"], gram_DD: Float[Tensor, "D D"]) -> QuantizedTensor:
    """Return the tensor with the scales and mins of least output error for its codes; a row that fp16 spoils stays."""
    num_blocks = w_FD.shape[1] // BLOCK_SIZE
    parts = num_blocks * (2 if tensor.type.has_min else 1)
    step = max(1, _MAX_NUMBERS // (parts * w_FD.shape[1]))
    rows = [
        _solve_rows(tensor.codes[start : start + step], w_FD[start : start + step], gram_DD, tensor.type.has_min)
        for start in range(0, len(w_FD), step)
    ]
    solved_FP = torch.cat(rows).half().float()
    refitted = dataclasses.replace(
        tensor,
        scales=solved_FP[:, :num_blocks],
        mins=solved_FP[:, num_blocks:] if tensor.type.has_min else None,
    )
    before_F, after_F = (row_errors(w_FD - each.dequantize(), gram_DD) for each in (tensor, refitted))
    return _choose_rows(after_F < before_F, refitted, tensor)


def row_errors(error_FD: Float[Tensor, "F D"], gram_DD: Float[Tensor, "D D"]) -> Float[Tensor, " F"]:
    """Return the mean squared error of each output: the diagonal of E H Eᵀ."""
    return ((error_FD @ gram_DD) * error_FD).sum(dim=1)


def _solve_rows(codes_FD: Tensor, w_FD: Tensor, gram_DD: Tensor, has_min: bool) -> Tensor:
    """Return the scales, then the mins, of least squares for each row."""
    num_blocks = w_FD.shape[1] // BLOCK_SIZE
    codes_FBK = codes_FD.float().view(len(w_FD), num_blocks, BLOCK_SIZE)
    gram_BKD = gram_DD.view(num_blocks, BLOCK_SIZE, -1)
    pull_FBK = (w_FD @ gram_DD).view_as(codes_FBK)
    pushed_FBCK = torch.einsum("fbk,bkd->fbd", codes_FBK, gram_BKD).view(len(w_FD), num_blocks, num_blocks, BLOCK_SIZE)
    left_FPP = torch.einsum("fbck,fck->fbc", pushed_FBCK, codes_FBK)
    right_FP = (codes_FBK * pull_FBK).sum(dim=2)
    if has_min:
        across_FBC = pushed_FBCK.sum(dim=3)
        ones_FBC = gram_BKD.sum(dim=1).view(num_blocks, num_blocks, BLOCK_SIZE).sum(dim=2).expand_as(across_FBC)
        upper, lower = torch.cat((left_FPP, across_FBC), dim=2), torch.cat((across_FBC.mT, ones_FBC), dim=2)
        left_FPP = torch.cat((upper, lower), dim=1)
        right_FP = torch.cat((right_FP, pull_FBK.sum(dim=2)), dim=1)
    return _solve(left_FPP.double(), right_FP.double()).float()


def _solve(left_FPP: Tensor, right_FP: Tensor) -> Tensor:
    """Solve each row's system; a block without codes has a zero row, which a trace of ridge turns into scale 0."""
    diagonal_FP = left_FPP.diagonal(dim1=1, dim2=2)
    ridge_FP = 1e-9 * diagonal_FP.mean(dim=1, keepdim=True).clamp_min(1e-30) + torch.where(diagonal_FP == 0, 1.0, 0.0)
    solved_FP1, _ = torch.linalg.solve_ex(left_FPP + torch.diag_embed(ridge_FP), right_FP[..., None])
    solved_FP: Tensor = solved_FP1[..., 0]
    return solved_FP


def _sweep_codes(tensor: QuantizedTensor, w_FD: Tensor, gram_DD: Tensor, mask_FD: Tensor | None) -> QuantizedTensor:
    """Give each weight the best code with all others held, input by input."""
    grid, codes_FD, values_FD = Grid.of(tensor), tensor.codes.float(), tensor.dequantize()
    pull_FD = (w_FD - values_FD) @ gram_DD
    held_FD = mask_FD if grid.type.holds_zero else None
    for start in range(0, w_FD.shape[1], BLOCK_SIZE):
        span = slice(start, start + BLOCK_SIZE)
        columns = grid.of_columns(torch.arange(start, start + BLOCK_SIZE))
        held_FK = None if held_FD is None else held_FD[:, span]
        codes_FD[:, span], change_FK = _sweep_block(
            values_FD[:, span], pull_FD[:, span], gram_DD[span, span], columns=columns, mask_FK=held_FK
        )
        pull_FD.addmm_(change_FK, gram_DD[span], alpha=-1)
    return dataclasses.replace(tensor, codes=codes_FD.to(torch.int8))


def _sweep_block(
    values_FK: Tensor, pull_FK: Tensor, gram_KK: Tensor, *, columns: Grid, mask_FK: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the block's new codes, and how much each weight's value changes; `pull_FK` is (w - value) H."""
    values_KF, pull_KF, round_column = values_FK.T.contiguous(), pull_FK.T.contiguous(), ColumnRounder(columns)
    mask_KF = None if mask_FK is None else mask_FK.T.contiguous()
    codes_KF, changes_KF = torch.empty_like(values_KF), torch.empty_like(values_KF)
    for column in range(len(values_KF)):
        best_F = values_KF[column] + pull_KF[column] / gram_KK[column, column]
        mask_F = None if mask_KF is None else mask_KF[column]
        codes_KF[column], new_F = round_column(column, best_F, mask_F)
        torch.sub(new_F, values_KF[column], out=changes_KF[column])
        pull_KF[column + 1 :].addr_(gram_KK[column, column + 1 :], changes_KF[column], alpha=-1)
    return codes_KF.T, changes_KF.T


def _choose_rows(is_first_F: Tensor, first: QuantizedTensor, second: QuantizedTensor) -> QuantizedTensor:
    """Return a tensor with rows of `first` where told, of `second` elsewhere; their codes are the same."""
    scales = torch.where(is_first_F[:, None], first.scales, second.scales.float())
    if first.mins is None or second.mins is None:
        return dataclasses.replace(first, scales=scales)
    return dataclasses.replace(
        first, scales=scales, mins=torch.where(is_first_F[:, None], first.mins, second.mins.float())
    )
