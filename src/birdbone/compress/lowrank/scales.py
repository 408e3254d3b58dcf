"""A low-rank correction of a quantized matrix, merged into its block scales.

Theory of operation. A dense low-rank correction of an INT4 matrix has no place in the file: added to the weights and
rounded again, it is rounded away; kept beside them, it costs bytes and a second product a layer. The scales are the one
real-valued part of a block format. So the correction is sought there: the scales that minimise the output error (one
small solve a row) give a relative change of every scale; its best approximation of a few ranks is kept, which drops
what is noise of the calibration text; and it is merged by scaling the scales. The file keeps its size and its kernels.
Shapes: F out_features, D in_features, B blocks a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.config import LowRankConfig
from birdbone.compress.lowrank.svd import truncate
from birdbone.compress.quantize import output_error, refit_scales
from birdbone.models.gguf import QuantizedTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """The matrix after the merge, and its mean squared output error on the calibration text before and after."""

    quantized: QuantizedTensor
    error_before: float
    error_after: float
    is_merged: bool


def merge_low_rank_scales(
    w_FD: Float[Tensor, "F D"],
    quantized: QuantizedTensor,
    gram_DD: Float[Tensor, "D D"],
    *,
    config: LowRankConfig,
) -> MergeResult:
    """Return the matrix with the correction merged, or as it was if that does not lower the output error.

    Args:
        w_FD: the weights that `quantized` stands for. Not changed.
        gram_DD: mean of x xᵀ over calibration tokens.
    """
    before = output_error(w_FD, quantized.dequantize(), gram_DD)
    target = refit_scales(w_FD, quantized, gram_DD, damping=config.damping)
    is_set_FB = quantized.scales != 0
    change_FB = torch.where(is_set_FB, target.scales / torch.where(is_set_FB, quantized.scales, 1.0) - 1, 0.0)
    left_FR, right_RB = truncate(change_FB, rank=config.rank)
    scales_FB = (quantized.scales * (1 + left_FR @ right_RB)).half().float()
    merged = QuantizedTensor(type=quantized.type, codes=quantized.codes, scales=scales_FB)
    after = output_error(w_FD, merged.dequantize(), gram_DD)
    if not after < before:
        return MergeResult(quantized=quantized, error_before=before, error_after=before, is_merged=False)
    return MergeResult(quantized=merged, error_before=before, error_after=after, is_merged=True)
