"""Judging: whether a model is still good, and what it costs.

Owns: likelihood and perplexity, divergence from a reference, paired statistics, gates and their verdicts, cost;
`benchmarks` (well-known questions, one judge for every engine), `checks` (a model by itself), `sandbox` (code that a
model wrote).
Needs: `core`, `models`, numpy, scipy; torch for what reads tensors; lm-eval (the extra `eval`) for the benchmarks.

What needs torch is imported from its own module, so that a recipe's rules can be read and a gate judged without loading
torch: `birdbone.evaluate.perplexity` (`token_nll`, `Perplexity`, `perplexity_from_nll`) and
`birdbone.evaluate.divergence` (`divergence`, `model_logits`, `Divergence`).
"""

from birdbone.evaluate.config import (
    AbortPolicy,
    Comparison,
    EvaluateConfig,
    FallBackPolicy,
    GateRule,
    RetryPolicy,
    Stage,
)
from birdbone.evaluate.cost import (
    DecodeRate,
    Median,
    RateComparison,
    bytes_per_token,
    bytes_per_token_measurement,
    decode_rates,
    median,
    size_measurements,
)
from birdbone.evaluate.errors import (
    AmbiguousMeasurementError,
    BadGatesError,
    BadScoresError,
    BadSettingError,
    BadWindowsError,
    EvaluateError,
    NonFiniteLogitsError,
    NoTokensError,
    TooFewItemsError,
    TooFewWindowsError,
    UnknownReadoutError,
    UnpairedError,
)
from birdbone.evaluate.gates import Finding, Outcome, Verdict, judge
from birdbone.evaluate.statistics import MIN_WINDOWS, PairedRatio, paired_ratio

__all__ = [
    "MIN_WINDOWS",
    "AbortPolicy",
    "AmbiguousMeasurementError",
    "BadGatesError",
    "BadScoresError",
    "BadSettingError",
    "BadWindowsError",
    "Comparison",
    "DecodeRate",
    "EvaluateConfig",
    "EvaluateError",
    "FallBackPolicy",
    "Finding",
    "GateRule",
    "Median",
    "NoTokensError",
    "NonFiniteLogitsError",
    "Outcome",
    "PairedRatio",
    "RateComparison",
    "RetryPolicy",
    "Stage",
    "TooFewItemsError",
    "TooFewWindowsError",
    "UnknownReadoutError",
    "UnpairedError",
    "Verdict",
    "bytes_per_token",
    "bytes_per_token_measurement",
    "decode_rates",
    "judge",
    "median",
    "paired_ratio",
    "size_measurements",
]
