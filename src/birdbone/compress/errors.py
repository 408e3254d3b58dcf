"""What can go wrong while compressing.

```text
BirdboneError
└── CompressError
    ├── NoCalibrationDataError     compress.no_calibration_data
    ├── SilentInputError           compress.silent_input
    ├── NonFiniteStatisticsError   compress.non_finite_statistics
    ├── SingularGramError          compress.singular_gram
    ├── MissingGradientsError      compress.missing_gradients
    ├── NonFiniteScoreError        compress.non_finite_score
    ├── NegativeScoreError         compress.negative_score
    ├── HealingDivergedError       compress.healing_diverged
    ├── BlockWidthError            compress.block_width
    ├── WeightRangeError           compress.weight_range
    ├── PatternWidthError          compress.pattern_width
    └── BudgetError                compress.budget
```
"""

from __future__ import annotations

from birdbone.core import BirdboneError, ErrorKind


class CompressError(BirdboneError):
    """Root of this room's errors. The model that was handed in is unchanged, but for healing that diverged half-way."""

    code = "compress.failed"
    kind: ErrorKind = "invalid"


class NoCalibrationDataError(CompressError):
    """There are no calibration windows."""

    code = "compress.no_calibration_data"
    hint = "Give `data.num_calibration_windows` at least 1 and a source that long."


class SilentInputError(CompressError):
    """A linear's inputs were zero on all calibration text, so nothing can be said of its weights."""

    code = "compress.silent_input"
    hint = "The layers before it are dead, or the calibration text is far too uniform; use other text."


class NonFiniteStatisticsError(CompressError):
    """A statistic of a layer's inputs came out NaN or infinite."""

    code = "compress.non_finite_statistics"
    hint = "The model overflows on this text. Load it in float32; if it still does, its weights are damaged."


class SingularGramError(CompressError):
    """The damped Gram matrix of a layer's inputs is not positive definite."""

    code = "compress.singular_gram"
    hint = "Use more calibration windows, or raise the step's `damping`."


class MissingGradientsError(CompressError):
    """A metric reads gradients of the loss, and none were given."""

    code = "compress.missing_gradients"
    hint = "Collect them with `compress.gradients`, or choose a metric that reads activations only, such as `wanda`."


class NonFiniteScoreError(CompressError):
    """A weight's score is NaN or infinite."""

    code = "compress.non_finite_score"
    hint = "The weights or their gradients are damaged, or too large for float32 when squared; use another metric."


class NegativeScoreError(CompressError):
    """A weight's score is below zero, which no metric of importance gives."""

    code = "compress.negative_score"
    hint = "Give scores where 0 is no importance; take the absolute value of signed ones first."


class HealingDivergedError(CompressError):
    """A block's healing loss became NaN or infinite even at a quarter of the rate; the blocks below it are healed."""

    code = "compress.healing_diverged"
    hint = "Lower `heal.learning_rate`."


class BlockWidthError(CompressError):
    """A matrix has a width that the target format cannot divide into blocks."""

    code = "compress.block_width"
    hint = "Keep that tensor in a float format (`f16`)."


class WeightRangeError(CompressError):
    """A weight is NaN, infinite or beyond what a block format can hold."""

    code = "compress.weight_range"
    hint = "The weights are damaged: load the model again, or lower the healing rate."


class PatternWidthError(CompressError):
    """A pattern of zeros does not divide a matrix."""

    code = "compress.pattern_width"
    hint = "Choose a group that divides every width of the model, or the pattern `unstructured`."


class BudgetError(CompressError):
    """A budget cannot be met; the message says what can."""

    code = "compress.budget"
    hint = "Ask for less, or let linears lie farther from the mean."
