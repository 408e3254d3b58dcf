"""What can go wrong while compressing.

```text
BirdboneError
└── CompressError
    ├── NoCalibrationDataError     compress.no_calibration_data
    ├── SilentInputError           compress.silent_input
    ├── NonFiniteStatisticsError   compress.non_finite_statistics
    ├── SingularGramError          compress.singular_gram
    ├── HealingDivergedError       compress.healing_diverged
    ├── BlockWidthError            compress.block_width
    ├── WeightRangeError           compress.weight_range
    ├── BitsBudgetError            compress.bits_budget
    ├── RankError                  compress.rank
    ├── NegativeWeightError        compress.negative_weight
    └── TooFewWindowsError         compress.too_few_windows
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


class BitsBudgetError(CompressError):
    """The smallest types that may be chosen take more than the target allows."""

    code = "compress.bits_budget"
    hint = "Raise the bits per weight, or allow smaller types."


class RankError(CompressError):
    """A rank that the matrix, or the bytes allowed, cannot have."""

    code = "compress.rank"
    hint = "Ask for a rank between 1 and the smaller side of the matrix."


class NegativeWeightError(CompressError):
    """A factorization for weights of one sign met a weight of the other."""

    code = "compress.negative_weight"
    hint = "Take `split_signs`, which factorises the positive and the negative part apart."


class TooFewWindowsError(CompressError):
    """More windows were asked for than there are."""

    code = "compress.too_few_windows"
    hint = "Ask for fewer windows, or give more text."
