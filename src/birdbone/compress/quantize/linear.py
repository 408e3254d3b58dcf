"""Quantizing one linear by the rounding that the settings name. Shapes: F out_features, D in_features."""

from __future__ import annotations

from typing import assert_never

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.config import RoundingConfig
from birdbone.compress.errors import BlockWidthError, WeightRangeError
from birdbone.compress.quantize.q4_0 import BLOCK_SIZE, round_to_nearest, round_with_feedback, search_scales
from birdbone.compress.statistics import InputStatistics
from birdbone.models.gguf import GgufType, QuantizedTensor, quantize_tensor

LARGEST_WEIGHT = 7 * 65504.0
"""Beyond this the scale of a Q4_0 block may not fit fp16."""


def quantize_linear(
    w_FD: Float[Tensor, "F D"],
    statistics: InputStatistics,
    *,
    kind: GgufType,
    mask_FD: Bool[Tensor, "F D"] | None,
    config: RoundingConfig,
) -> QuantizedTensor:
    """Return codes and scales of a linear's weight, which is not changed; a weight that the mask drops gets code 0.

    Q8_0 is always rounded to nearest: its error is below what a perplexity can show.

    Raises:
        BlockWidthError: D is no multiple of 32.
        WeightRangeError: a weight is NaN, infinite, or so large that its block's scale is beyond fp16.
        SingularGramError: `feedback` cannot invert the Gram matrix.
    """
    if w_FD.shape[1] % BLOCK_SIZE:
        raise BlockWidthError(f"A width of {w_FD.shape[1]} does not divide into blocks of {BLOCK_SIZE}.")
    _require_range(w_FD)
    survivors_FD = w_FD if mask_FD is None else torch.where(mask_FD, w_FD, 0.0)
    if kind is not GgufType.Q4_0 or config.kind == "nearest":
        return quantize_tensor(survivors_FD, kind)
    match config.kind:
        case "importance":
            return round_to_nearest(survivors_FD, search_scales(survivors_FD, statistics.mean_square_D))
        case "feedback":
            return round_with_feedback(w_FD, statistics.gram_DD, mask_FD=mask_FD, damping=config.damping)
        case _:
            assert_never(config.kind)


def _require_range(w_FD: Tensor) -> None:
    largest = float(w_FD.abs().max())
    if not largest < LARGEST_WEIGHT:
        raise WeightRangeError(f"Expected weights within {LARGEST_WEIGHT:.4g}, got {largest:.4g}.", largest=largest)
