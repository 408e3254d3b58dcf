"""Quantizing one matrix by the rounding that the settings name. Shapes: F out_features, D in_features."""

from __future__ import annotations

from typing import assert_never

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.config import RoundingConfig
from birdbone.compress.errors import BlockWidthError, WeightRangeError
from birdbone.compress.quantize.descent import descend
from birdbone.compress.quantize.feedback import round_with_feedback
from birdbone.compress.quantize.grids import fit_grid, round_to_grid
from birdbone.compress.statistics import InputStatistics
from birdbone.models import at_most_threads
from birdbone.models.ggml_encoder import encode_tensor
from birdbone.models.gguf import GgufType, QuantizedTensor, RoundedTensor, quantize_tensor

LARGEST_WEIGHT = 65504.0
"""Beyond this the scale or the min of a block may not fit fp16."""
_ROWS_WORTH_THREADS = 8192
"""Fewer are rounded column by column in less time than two threads take to meet: two took twice as long as one."""


def quantize_linear(
    w_FD: Float[Tensor, "F D"],
    statistics: InputStatistics,
    *,
    kind: GgufType,
    mask_FD: Bool[Tensor, "F D"] | None,
    config: RoundingConfig,
) -> RoundedTensor:
    """Return the weight of a linear (or of a head) as codes on the grid of a block type; it is not changed.

    A weight that the mask drops gets code 0, which is zero. A type with mins, or with uneven steps, need not have zero
    on its grid: there a dropped weight is a zero like any other value, and goes where the error is least.
    Q8_0 is always rounded to nearest: its error is below what a perplexity can show. A type of blocks of 256 is rounded
    by ggml's own encoder, with the input power as its importance whatever the rounding, but for `nearest`.

    Raises:
        BlockWidthError: D is no multiple of the type's block.
        WeightRangeError: a weight is NaN, infinite, or so large that its block's scale is beyond fp16.
        SingularGramError: `feedback` or `descent` cannot invert the Gram matrix.
    """
    if w_FD.shape[1] % kind.block_size:
        raise BlockWidthError(f"A width of {w_FD.shape[1]} does not divide into blocks of {kind.block_size}.")
    _require_range(w_FD)
    survivors_FD = w_FD if mask_FD is None else torch.where(mask_FD, w_FD, 0.0)
    if kind.is_packed:
        importance_D = None if config.kind == "nearest" else statistics.mean_square_D
        return encode_tensor(survivors_FD, kind, importance_D=importance_D)
    if kind is GgufType.Q8_0 or config.kind == "nearest":
        return quantize_tensor(survivors_FD, kind)
    match config.kind:
        case "importance":
            return round_to_grid(survivors_FD, fit_grid(survivors_FD, statistics.mean_square_D, kind))
        case "feedback" | "descent":
            held_FD = mask_FD if kind.holds_zero else None
            source_FD = w_FD if kind.holds_zero else survivors_FD
            return _feed_back(source_FD, statistics.gram_DD, kind=kind, mask_FD=held_FD, config=config)
        case _:
            assert_never(config.kind)


def _feed_back(
    w_FD: Tensor, gram_DD: Tensor, *, kind: GgufType, mask_FD: Tensor | None, config: RoundingConfig
) -> QuantizedTensor:
    threads = 1 if len(w_FD) < _ROWS_WORTH_THREADS else torch.get_num_threads()
    with at_most_threads(threads):
        rounded = round_with_feedback(
            w_FD,
            gram_DD,
            kind=kind,
            mask_FD=mask_FD,
            damping=config.damping,
            order=config.order,
            should_search_scales=config.should_search_scales,
        )
        num_sweeps = config.num_sweeps if config.kind == "descent" else 0
        return descend(rounded, w_FD, gram_DD, num_sweeps=num_sweeps, damping=config.damping, mask_FD=mask_FD)


def _require_range(w_FD: Tensor) -> None:
    largest = float(w_FD.abs().max())
    if not largest < LARGEST_WEIGHT:
        raise WeightRangeError(f"Expected weights within {LARGEST_WEIGHT:.4g}, got {largest:.4g}.", largest=largest)
