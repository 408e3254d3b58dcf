"""Fewer bits a weight. One file a grid; `quantize_linear` picks the rounding that the settings name."""

from birdbone.compress.quantize.linear import quantize_linear
from birdbone.compress.quantize.promotion import choose_promotions, relative_output_error
from birdbone.compress.quantize.q4_0 import (
    BLOCK_SIZE,
    output_error,
    refit_scales,
    round_to_nearest,
    round_with_feedback,
    search_scales,
)

__all__ = [
    "BLOCK_SIZE",
    "choose_promotions",
    "output_error",
    "quantize_linear",
    "refit_scales",
    "relative_output_error",
    "round_to_nearest",
    "round_with_feedback",
    "search_scales",
]
