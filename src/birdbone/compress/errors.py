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
    ├── BiophaseMissingError       compress.biophase_missing
    ├── TooFewUnitsError           compress.too_few_units
    ├── TooManyUnitsError          compress.too_many_units
    ├── UnknownLayerError          compress.unknown_layer
    ├── UnknownClusterError        compress.unknown_cluster
    ├── BadClusterFileError        compress.bad_cluster_file
    ├── TargetOutOfReachError      compress.target_out_of_reach
    ├── OtherHistoryError          compress.other_history
    └── SharesMissingError         compress.shares_missing
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


class BiophaseMissingError(CompressError):
    """A library that clusters are found with, or thresholds searched with, is not installed."""

    code = "compress.biophase_missing"
    kind: ErrorKind = "unavailable"
    hint = "Install it: pip install 'birdbone[biophase]'"


class TooFewUnitsError(CompressError):
    """There are not enough neurons or heads to be grouped."""

    code = "compress.too_few_units"
    hint = "Cluster over the whole model (`--scope model`), ask for fewer clusters, or take neurons."


class TooManyUnitsError(CompressError):
    """More neurons than a method that compares each with each can hold."""

    code = "compress.too_many_units"
    hint = "Take k-means, cluster each layer by itself, or name some layers with `--layer`."


class UnknownLayerError(CompressError):
    """The model has no such layer."""

    code = "compress.unknown_layer"
    kind: ErrorKind = "not_found"
    hint = "Layers count from 0."


class UnknownClusterError(CompressError):
    """A share was set by hand for a cluster that there is not."""

    code = "compress.unknown_cluster"
    kind: ErrorKind = "not_found"
    hint = "`birdbone compress clusters MODEL` lists the clusters by name."


class BadClusterFileError(CompressError):
    """A file is not what `compress clusters --out` writes, or speaks of other units."""

    code = "compress.bad_cluster_file"
    hint = "Give the clusters.json that `birdbone compress clusters MODEL --out FOLDER` wrote."


class TargetOutOfReachError(CompressError):
    """No shares within the bounds shed as much, or as little, as was asked for."""

    code = "compress.target_out_of_reach"
    hint = "Widen `low` and `high`, change the overrides, or ask for a share in the range that the message names."


class OtherHistoryError(CompressError):
    """The history of a search belongs to another model, other text or other settings."""

    code = "compress.other_history"
    kind: ErrorKind = "conflict"
    hint = "Name another file with `--history`, or go on with the settings that it was begun with."


class SharesMissingError(CompressError):
    """A wave is to shed by clusters, and was not told what each sheds."""

    code = "compress.shares_missing"
    hint = "Hand it the shares (`thresholds.ground.fractions_of`), or set `shed.cluster` to `linear`."
