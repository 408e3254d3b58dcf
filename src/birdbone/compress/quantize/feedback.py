"""Rounding one input after the other, each error pushed onto the inputs that are not rounded yet (GPTQ).

Shapes: F out_features, D in_features, K = 32 weights a block.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.errors import SingularGramError
from birdbone.compress.quantize.grids import Grid, fit_grid
from birdbone.models.gguf import BLOCK_SIZE, GgufType, QuantizedTensor


def round_with_feedback(
    w_FD: Float[Tensor, "F D"],
    gram_DD: Float[Tensor, "D D"],
    *,
    kind: GgufType,
    mask_FD: Bool[Tensor, "F D"] | None = None,
    damping: float = 0.01,
) -> QuantizedTensor:
    """Return the tensor whose rounding errors were fed forward through the inverse Hessian of the inputs.

    Args:
        w_FD: weights, finite; D a multiple of 32. Not changed.
        gram_DD: mean of x xᵀ over calibration tokens.
        kind: a block type of 4 or 5 bits.
        mask_FD: True where a weight survives; the others get code 0, and their error is fed back like any other. Only
            for a type without mins, whose code 0 is zero. None: all survive.
        damping: share of the mean of the diagonal that is added to it.

    Raises:
        SingularGramError: the damped Gram matrix is not positive definite.
    Source: Frantar et al. 2022, arXiv:2210.17323, algorithm 1. Symbols: H = gram, Q = the values of the codes. Differs:
    a block's grid is fitted (`fit_grid`) when the sweep reaches it; masked weights as in SparseGPT.
    """
    w_FD = w_FD.float().clone()
    upper_DD = _inverse_factor(gram_DD, damping=damping)
    importance_D = gram_DD.diagonal()
    blocks = []
    for start in range(0, w_FD.shape[1], BLOCK_SIZE):
        span = slice(start, start + BLOCK_SIZE)
        survives_FK = None if mask_FD is None else mask_FD[:, span]
        w_FK = w_FD[:, span] if survives_FK is None else w_FD[:, span] * survives_FK
        grid = fit_grid(w_FK, importance_D[span], kind)
        codes_FK, errors_FK = _round_block(w_FD[:, span], grid, upper_DD[span, span], survives_FK)
        w_FD[:, span.stop :] -= errors_FK @ upper_DD[span, span.stop :]
        blocks.append(grid.tensor(codes_FK))
    return _join(blocks)


def _round_block(w_FK: Tensor, grid: Grid, upper_KK: Tensor, survives_FK: Tensor | None) -> tuple[Tensor, Tensor]:
    """Round the inputs of one block in order. Changes `w_FK`. Returns codes and the errors to feed on."""
    codes_FK, errors_FK = torch.empty_like(w_FK), torch.empty_like(w_FK)
    for column in range(w_FK.shape[1]):
        codes_F11 = grid.codes(w_FK[:, column, None, None])
        if survives_FK is not None:
            codes_F11 = codes_F11 * survives_FK[:, column, None, None]
        error_F = w_FK[:, column] - grid.values(codes_F11)[:, 0, 0]
        w_FK[:, column + 1 :] -= error_F[:, None] * upper_KK[column, column + 1 :]
        codes_FK[:, column], errors_FK[:, column] = codes_F11[:, 0, 0], error_F
    return codes_FK, errors_FK


def _join(blocks: list[QuantizedTensor]) -> QuantizedTensor:
    mins = [block.mins for block in blocks if block.mins is not None]
    return QuantizedTensor(
        type=blocks[0].type,
        codes=torch.cat([block.codes for block in blocks], dim=1),
        scales=torch.cat([block.scales for block in blocks], dim=1),
        mins=torch.cat(mins, dim=1) if mins else None,
    )


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
