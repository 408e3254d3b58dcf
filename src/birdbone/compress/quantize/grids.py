"""Fitting the grid of each block of GGUF: one fp16 scale for 32 inputs, and a min where the type has one.

Shapes: F out_features, D in_features, B = D / 32 blocks, K = 32 weights a block.

Theory of operation. A grid is good if the squared rounding error is small where the inputs are loud, so the mean square
of each input is its weight (what ggml calls the imatrix). Candidate grids differ by tenths of a step in the range that
they span; the codes under each candidate get the scale (and min) of weighted least squares; the best of all is kept.
What lies on a grid of the type already is kept exactly: that grid is among the candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from birdbone.models.gguf import BLOCK_SIZE, GgufType, QuantizedTensor, nearest_value

_SHIFTS = (0.0, -0.6, -0.3, 0.3, 0.6)  # nine gave 1 % less error for 1.6 times the time
_STEP_OF_UNEVEN_CODES = 12  # half of the widest step: where codes are uneven, the ends are farthest apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The values that a block's codes stand for: `code * scale + min`. A negative scale is usual without mins: it puts
    the longer side of the codes where the extreme weight is.
    """

    type: GgufType
    scales_FB: Float[Tensor, "F B"]
    mins_FB: Float[Tensor, "F B"]
    """Zeros for a type without mins."""

    @classmethod
    def of(cls, tensor: QuantizedTensor) -> Grid:
        """Return the grid that a stored tensor's codes lie on."""
        scales_FB = tensor.scales.float()
        mins_FB = torch.zeros_like(scales_FB) if tensor.mins is None else tensor.mins.float()
        return cls(type=tensor.type, scales_FB=scales_FB, mins_FB=mins_FB)

    def of_columns(self, column_D: Int[Tensor, " D"]) -> Grid:
        """Return a grid with one block for each named column, that of the block that the column lies in."""
        blocks_D = column_D // BLOCK_SIZE
        return Grid(type=self.type, scales_FB=self.scales_FB[:, blocks_D], mins_FB=self.mins_FB[:, blocks_D])

    def codes(self, w_FBK: Tensor) -> Tensor:
        """Return the code of the grid point nearest to each weight."""
        inverse_FB = torch.where(self.scales_FB == 0, 0.0, 1.0 / self.scales_FB)
        scaled_FBK = (w_FBK - self.mins_FB[..., None]) * inverse_FB[..., None]
        if self.type.code_values:
            return nearest_value(scaled_FBK, self.type.code_values)
        return scaled_FBK.round().clamp(*self.type.code_range)

    def values(self, codes_FBK: Tensor) -> Tensor:
        """Return what codes stand for."""
        return codes_FBK * self.scales_FB[..., None] + self.mins_FB[..., None]

    def tensor(self, codes_FBK: Tensor) -> QuantizedTensor:
        """Return codes on this grid as a tensor to be stored."""
        mins = self.mins_FB if self.type.has_min else None
        codes_FD = codes_FBK.flatten(1).to(torch.int8)
        return QuantizedTensor(type=self.type, codes=codes_FD, scales=self.scales_FB, mins=mins)


class ColumnRounder:
    """Rounds the weights of one column at a time, each column on its own block of a grid.

    Column by column is how feedback and descent must go, so what a grid needs for it is laid out once, with the weights
    of a column side by side in memory.
    """

    def __init__(self, columns: Grid) -> None:
        self._type = columns.type
        self._scales_KF = columns.scales_FB.T.contiguous()
        self._mins_KF = columns.mins_FB.T.contiguous()
        self._inverse_KF = torch.where(self._scales_KF == 0, 0.0, 1.0 / self._scales_KF)

    def __call__(self, column: int, w_F: Float[Tensor, " F"], survives_F: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the codes nearest to the weights of a column, 0 for what does not survive, and what they stand for."""
        scaled_F = (w_F - self._mins_KF[column]) * self._inverse_KF[column]
        if self._type.code_values:
            codes_F = nearest_value(scaled_F, self._type.code_values)
        else:
            codes_F = scaled_F.round_().clamp_(*self._type.code_range)
        if survives_F is not None:
            codes_F = codes_F * survives_F
        return codes_F, codes_F * self._scales_KF[column] + self._mins_KF[column]


def stack_grids(grids: Sequence[Grid]) -> Grid:
    """Return one grid that holds the rows of all."""
    return Grid(
        type=grids[0].type,
        scales_FB=torch.cat([grid.scales_FB for grid in grids]),
        mins_FB=torch.cat([grid.mins_FB for grid in grids]),
    )


def fit_grid(w_FD: Float[Tensor, "F D"], importance_D: Float[Tensor, " D"], kind: GgufType) -> Grid:
    """Return, for each block, the candidate with the least importance-weighted squared rounding error.

    Args:
        w_FD: weights, finite; D a multiple of 32. Not changed.
        importance_D: mean square of each input, >= 0.
        kind: a block type of 4 or 5 bits.

    Source: ggml's `make_qx_quants` and `make_qkx2_quants` (weighted least squares over shifted ranges); differs: all
    blocks at once, and a candidate counts both with the grid that it started from and with the fitted one.
    """
    w_FBK = w_FD.float().reshape(len(w_FD), -1, BLOCK_SIZE)
    weight_BK = importance_D.float().clamp_min(1e-12).view(-1, BLOCK_SIZE)
    best = Grid(type=kind, scales_FB=torch.zeros_like(w_FBK[..., 0]), mins_FB=torch.zeros_like(w_FBK[..., 0]))
    least_FB = torch.full_like(best.scales_FB, torch.inf)
    for grid, codes_FBK in candidate_grids(w_FBK, weight_BK, kind):
        error_FB = ((grid.values(codes_FBK) - w_FBK).square() * weight_BK).sum(dim=2)
        is_better_FB = error_FB < least_FB
        best = Grid(
            type=kind,
            scales_FB=torch.where(is_better_FB, grid.scales_FB, best.scales_FB),
            mins_FB=torch.where(is_better_FB, grid.mins_FB, best.mins_FB),
        )
        least_FB = torch.where(is_better_FB, error_FB, least_FB)
    return best


def round_to_grid(w_FD: Float[Tensor, "F D"], grid: Grid) -> QuantizedTensor:
    """Return the nearest grid point of each weight, each on its own."""
    return grid.tensor(grid.codes(w_FD.float().reshape(len(w_FD), -1, BLOCK_SIZE)))


def candidate_grids(w_FBK: Tensor, weight_BK: Tensor, kind: GgufType) -> Iterator[tuple[Grid, Tensor]]:
    """Give each grid that a block could have, with the codes of the weights on it; the weights are positive."""
    low, high = kind.code_range
    for share in _SHIFTS:
        shift = share * (_STEP_OF_UNEVEN_CODES if kind.code_values else 1)
        if kind.has_min:
            mins_FB = w_FBK.amin(dim=2)
            scales_FB = (w_FBK.amax(dim=2) - mins_FB) / (high + shift)
        else:
            extreme_FB = w_FBK.gather(2, w_FBK.abs().argmax(dim=2, keepdim=True))[..., 0]
            mins_FB, scales_FB = torch.zeros_like(extreme_FB), extreme_FB / (low + shift)
        grid = Grid(type=kind, scales_FB=_to_fp16(scales_FB), mins_FB=_to_fp16(mins_FB))
        codes_FBK = grid.codes(w_FBK)
        yield grid, codes_FBK
        fitted = _least_squares(w_FBK, codes_FBK, weight_BK, kind)
        yield fitted, fitted.codes(w_FBK)


def _least_squares(w_FBK: Tensor, codes_FBK: Tensor, weight_BK: Tensor, kind: GgufType) -> Grid:
    """Return the grid on which these codes come closest to the weights."""
    mean_code_FB = mean_w_FB = torch.zeros_like(w_FBK[..., 0])
    if kind.has_min:
        total_B = weight_BK.sum(dim=1)
        mean_code_FB = (codes_FBK * weight_BK).sum(dim=2) / total_B
        mean_w_FB = (w_FBK * weight_BK).sum(dim=2) / total_B
    centred_FBK = codes_FBK - mean_code_FB[..., None]
    power_FB = (centred_FBK.square() * weight_BK).sum(dim=2)
    product_FB = (centred_FBK * (w_FBK - mean_w_FB[..., None]) * weight_BK).sum(dim=2)
    scales_FB = _to_fp16(torch.where(power_FB > 0, product_FB / power_FB.clamp_min(1e-30), 0.0))
    return Grid(type=kind, scales_FB=scales_FB, mins_FB=_to_fp16(mean_w_FB - scales_FB * mean_code_FB))


def _to_fp16(values: Tensor) -> Tensor:
    return values.half().float()
