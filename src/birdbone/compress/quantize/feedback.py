"""Rounding one input after the other, each error pushed onto the inputs that are not rounded yet (GPTQ).

Shapes: F out_features, D in_features, K = 32 weights a block, C candidate grids of a block.

Theory of operation. What the sweep leaves behind is the sum, over inputs, of each rounding error squared over the
variance that the inputs before it do not explain: the exact rise of the layer's output error. So a block can try every
candidate grid, sweep them side by side as if they were more rows, and keep for each row the one with the least rise:
scales are searched for the codes that feedback will choose, not for the nearest ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.gram import cholesky, damp, invert
from birdbone.compress.quantize.grids import ColumnRounder, Grid, candidate_grids, fit_grid, stack_grids
from birdbone.models.gguf import BLOCK_SIZE, GgufType, QuantizedTensor

Order = Literal["stored", "loudest_first"]


def round_with_feedback(
    w_FD: Float[Tensor, "F D"],
    gram_DD: Float[Tensor, "D D"],
    *,
    kind: GgufType,
    mask_FD: Bool[Tensor, "F D"] | None = None,
    damping: float = 0.01,
    order: Order = "stored",
    should_search_scales: bool = False,
) -> QuantizedTensor:
    """Return the tensor whose rounding errors were fed forward through the inverse Hessian of the inputs.

    Args:
        w_FD: weights, finite; D a multiple of 32. Not changed.
        gram_DD: mean of x xᵀ over calibration tokens.
        kind: a block type of 4 or 5 bits.
        mask_FD: True where a weight survives; the others get code 0, and their error is fed back like any other. Only
            for a type that holds zero. None: all survive.
        damping: share of the mean of the diagonal that is added to it.
        order: `stored` goes through the inputs as the file holds them and fits a block's grid when it gets there;
            `loudest_first` goes by falling input power on grids that were fitted before, as a block's inputs are then
            not rounded together.
        should_search_scales: try every candidate grid of a block with feedback and keep the best; `stored` only.

    Raises:
        SingularGramError: the damped Gram matrix is not positive definite.
    Source: Frantar et al. 2022, arXiv:2210.17323, algorithm 1. Symbols: H = gram, Q = the values of the codes. Differs:
    a block's grid is fitted (`fit_grid`) when the sweep reaches it; masked weights as in SparseGPT.
    """
    w_FD = w_FD.float().clone()
    if order == "loudest_first":
        return _round_loudest_first(w_FD, gram_DD, kind=kind, mask_FD=mask_FD, damping=damping)
    factor = _inverse_factor(gram_DD, damping=damping)
    importance_D = gram_DD.diagonal()
    blocks = []
    for start in range(0, w_FD.shape[1], BLOCK_SIZE):
        span = slice(start, start + BLOCK_SIZE)
        survives_FK = None if mask_FD is None else mask_FD[:, span]
        choose = _search_grid if should_search_scales else _fit_block
        grid = choose(w_FD[:, span], importance_D[span], kind, factor.of(span), survives_FK)
        codes_FK, errors_FK = _round_block(w_FD[:, span], _spread(grid), factor.of(span), survives_FK)
        w_FD[:, span.stop :] -= errors_FK @ factor.upper_DD[span, span.stop :]
        blocks.append(grid.tensor(codes_FK))
    return _join(blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Factor:
    """Upper Cholesky factor of the inverse Gram matrix with rows scaled to a unit diagonal, and that diagonal squared:
    the inverse of the variance of each input that the ones after it do not explain.
    """

    upper_DD: Tensor
    pivot_D: Tensor

    def of(self, span: slice) -> _Factor:
        return _Factor(upper_DD=self.upper_DD[span, span], pivot_D=self.pivot_D[span])


def _round_loudest_first(
    w_FD: Tensor, gram_DD: Tensor, *, kind: GgufType, mask_FD: Tensor | None, damping: float
) -> QuantizedTensor:
    """Round in the order of falling input power, on grids fitted to the weights as they are. Changes `w_FD`."""
    survivors_FD = w_FD if mask_FD is None else w_FD * mask_FD
    grid = fit_grid(survivors_FD, gram_DD.diagonal(), kind)
    turn_D = gram_DD.diagonal().argsort(descending=True, stable=True)
    factor = _inverse_factor(gram_DD[turn_D][:, turn_D], damping=damping)
    w_FD, codes_FD = w_FD[:, turn_D], torch.empty_like(w_FD)
    for start in range(0, w_FD.shape[1], BLOCK_SIZE):
        span = slice(start, start + BLOCK_SIZE)
        survives_FK = None if mask_FD is None else mask_FD[:, turn_D[span]]
        columns = grid.of_columns(turn_D[span])
        codes_FK, errors_FK = _round_block(w_FD[:, span], columns, factor.of(span), survives_FK)
        w_FD[:, span.stop :] -= errors_FK @ factor.upper_DD[span, span.stop :]
        codes_FD[:, turn_D[span]] = codes_FK
    return grid.tensor(codes_FD)


def _fit_block(
    w_FK: Tensor, importance_K: Tensor, kind: GgufType, _factor: _Factor, survives_FK: Tensor | None
) -> Grid:
    return fit_grid(w_FK if survives_FK is None else w_FK * survives_FK, importance_K, kind)


def _search_grid(
    w_FK: Tensor, importance_K: Tensor, kind: GgufType, factor: _Factor, survives_FK: Tensor | None
) -> Grid:
    """Return, row by row, the candidate whose sweep raises the layer's output error least."""
    kept_FK = w_FK if survives_FK is None else w_FK * survives_FK
    weight_1K = importance_K.float().clamp_min(1e-12)[None]
    grids = [grid for grid, _ in candidate_grids(kept_FK[:, None], weight_1K, kind)]
    all_grids, count = stack_grids(grids), len(grids)
    survives = None if survives_FK is None else survives_FK.repeat(count, 1)
    _, errors = _round_block(w_FK.repeat(count, 1), _spread(all_grids), factor, survives)
    rise_CF = (errors.square() / factor.pivot_D).sum(dim=1).view(count, len(w_FK))
    row_F = rise_CF.argmin(dim=0) * len(w_FK) + torch.arange(len(w_FK))
    return Grid(type=kind, scales_FB=all_grids.scales_FB[row_F], mins_FB=all_grids.mins_FB[row_F])


def _spread(grid: Grid) -> Grid:
    """Return a grid of one block as one for each of its columns."""
    return grid.of_columns(torch.zeros(BLOCK_SIZE, dtype=torch.int64))


def _round_block(w_FK: Tensor, columns: Grid, factor: _Factor, survives_FK: Tensor | None) -> tuple[Tensor, Tensor]:
    """Round the inputs of one block in order, each on its own grid. Returns codes and errors; `w_FK` is not changed."""
    w_KF, round_column = w_FK.T.contiguous(), ColumnRounder(columns)
    survives_KF = None if survives_FK is None else survives_FK.T.contiguous()
    codes_KF, errors_KF = torch.empty_like(w_KF), torch.empty_like(w_KF)
    for column in range(len(w_KF)):
        survives_F = None if survives_KF is None else survives_KF[column]
        codes_KF[column], values_F = round_column(column, w_KF[column], survives_F)
        torch.sub(w_KF[column], values_F, out=errors_KF[column])
        w_KF[column + 1 :].addr_(factor.upper_DD[column, column + 1 :], errors_KF[column], alpha=-1)
    return codes_KF.T, errors_KF.T


def _join(blocks: list[QuantizedTensor]) -> QuantizedTensor:
    mins = [block.mins for block in blocks if block.mins is not None]
    return QuantizedTensor(
        type=blocks[0].type,
        codes=torch.cat([block.codes for block in blocks], dim=1),
        scales=torch.cat([block.scales for block in blocks], dim=1),
        mins=torch.cat(mins, dim=1) if mins else None,
    )


def _inverse_factor(gram_DD: Tensor, *, damping: float) -> _Factor:
    """Return the factor of the inverse of the damped Gram matrix."""
    inverse_DD = invert(damp(gram_DD.double(), damping, silent_ridge=1.0), damping=damping)
    upper_DD = cholesky(inverse_DD, damping=damping).T.contiguous()
    diagonal_D = upper_DD.diagonal()
    return _Factor(upper_DD=(upper_DD / diagonal_D[:, None]).float(), pivot_D=diagonal_D.square().float())
