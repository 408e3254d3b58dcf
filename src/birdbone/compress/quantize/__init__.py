"""Fewer bits a weight, in the block types of GGUF; `quantize_linear` picks the rounding that the settings name."""

from birdbone.compress.quantize.feedback import round_with_feedback
from birdbone.compress.quantize.grids import Grid, fit_grid, round_to_grid
from birdbone.compress.quantize.linear import quantize_linear
from birdbone.compress.quantize.output_error import output_error, relative_output_error

__all__ = [
    "Grid",
    "fit_grid",
    "output_error",
    "quantize_linear",
    "relative_output_error",
    "round_to_grid",
    "round_with_feedback",
]
