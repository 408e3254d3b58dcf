"""Fewer bits a weight, in the block types of GGUF: which type each linear gets, and how weights get to its grid."""

from birdbone.compress.quantize.allocation import Allocation, TypeOption, allocate
from birdbone.compress.quantize.descent import descend, refit_scales
from birdbone.compress.quantize.feedback import round_with_feedback
from birdbone.compress.quantize.grids import Grid, fit_grid, round_to_grid
from birdbone.compress.quantize.job import QuantizedModel, dequantized, quantize_model
from birdbone.compress.quantize.learned import LearnedRounding, learn_rounding
from birdbone.compress.quantize.linear import quantize_linear
from birdbone.compress.quantize.mixed import ChosenTypes, WeighedTypes, choose_types, estimate_type, weigh_types
from birdbone.compress.quantize.output_error import output_error, relative_output_error
from birdbone.compress.quantize.sensitivity import (
    Calibration,
    calibrate,
    estimate_damage,
    measure_damage,
)
from birdbone.compress.quantize.whole import LinearImpact, round_ends, round_linears, weigh_linears

__all__ = [
    "Allocation",
    "Calibration",
    "ChosenTypes",
    "Grid",
    "LearnedRounding",
    "LinearImpact",
    "QuantizedModel",
    "TypeOption",
    "WeighedTypes",
    "allocate",
    "calibrate",
    "choose_types",
    "dequantized",
    "descend",
    "estimate_damage",
    "estimate_type",
    "fit_grid",
    "learn_rounding",
    "measure_damage",
    "output_error",
    "quantize_linear",
    "quantize_model",
    "refit_scales",
    "relative_output_error",
    "round_ends",
    "round_linears",
    "round_to_grid",
    "round_with_feedback",
    "weigh_linears",
    "weigh_types",
]
