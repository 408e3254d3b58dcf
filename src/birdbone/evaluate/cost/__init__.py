"""What a model costs: time, memory, energy, size and arithmetic, and which of them bounds it.

Owns: rates and medians, sizes, the closed formula of FLOPs, readers of energy meters, the results and their comparison.
Needs: `core`, `models`, `watch`; torch for the probe, the profile and the engines.
What is light is here; `measuring` (which starts a process for each model) and what needs torch are imported by their
own names.
"""

from birdbone.evaluate.cost.medians import Median, median
from birdbone.evaluate.cost.rates import DEFAULT_REPEATS, Decode, DecodeRate, RateComparison, decode_rates
from birdbone.evaluate.cost.results import CostComparison, CostPlan, CostReport
from birdbone.evaluate.cost.sizes import bytes_per_token, bytes_per_token_measurement, size_measurements

__all__ = [
    "DEFAULT_REPEATS",
    "CostComparison",
    "CostPlan",
    "CostReport",
    "Decode",
    "DecodeRate",
    "Median",
    "RateComparison",
    "bytes_per_token",
    "bytes_per_token_measurement",
    "decode_rates",
    "median",
    "size_measurements",
]
