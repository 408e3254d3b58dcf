"""Quantizing one linear by the rounding that the settings name. Shapes: F out_features, D in_features."""

from __future__ import annotations

from typing import assert_never

from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.config import RoundingConfig
from birdbone.compress.errors import BlockWidthError
from birdbone.compress.quantize.q4_0 import BLOCK_SIZE, round_to_nearest, round_with_feedback, search_scales
from birdbone.compress.statistics import InputStatistics
from birdbone.models.gguf import GgufType, QuantizedTensor, quantize_tensor


def quantize_linear(
    w_FD: Float[Tensor, "F D"],
    statistics: InputStatistics,
    *,
    kind: GgufType,
    mask_FD: Bool[Tensor, "F D"] | None,
    config: RoundingConfig,
) -> QuantizedTensor:
    """Return codes and scales of a linear's weight; a weight that the mask drops gets code 0.

    Q8_0 is always rounded to nearest: its error is below what a perplexity can show.

    Raises:
        BlockWidthError: D is no multiple of 32.
        SingularGramError: `feedback` cannot invert the Gram matrix.
    """
    if w_FD.shape[1] % BLOCK_SIZE:
        raise BlockWidthError(f"A width of {w_FD.shape[1]} does not divide into blocks of {BLOCK_SIZE}.")
    if kind is not GgufType.Q4_0 or config.kind == "nearest":
        return quantize_tensor(w_FD, kind)
    match config.kind:
        case "importance":
            return round_to_nearest(w_FD, search_scales(w_FD, statistics.mean_square_D))
        case "feedback":
            return round_with_feedback(w_FD, statistics.gram_DD, mask_FD=mask_FD, damping=config.damping)
        case _:
            assert_never(config.kind)
