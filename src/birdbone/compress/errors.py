"""What can go wrong while compressing.

```text
BirdboneError
└── CompressError
    ├── NoCalibrationDataError    compress.no_calibration_data
    ├── SilentInputError          compress.silent_input
    ├── NonFiniteStatisticsError  compress.non_finite_statistics
    ├── SingularGramError         compress.singular_gram
    ├── MissingGradientsError     compress.missing_gradients
    ├── NonFiniteScoreError       compress.non_finite_score
    ├── NegativeScoreError        compress.negative_score
    ├── HealingDivergedError      compress.healing_diverged
    ├── BlockWidthError           compress.block_width
    ├── WeightRangeError          compress.weight_range
    ├── PatternWidthError         compress.pattern_width
    ├── BudgetError               compress.budget
    │   └── UnmetBudgetError      compress.unmet_budget
    ├── PlanOrderError            compress.plan_order
    ├── EngineAbsentError         compress.engine_absent
    ├── TimingEndedError          compress.timing_ended
    ├── TooFewProbesError         compress.too_few_probes
    ├── UnknownStructureError     compress.unknown_structure
    ├── BrokenConnectivityError   compress.broken_connectivity
    ├── ProtectedStructureError   compress.protected_structure
    ├── ShareOutOfReachError      compress.share_out_of_reach
    ├── BadLedgerError            compress.bad_ledger
    ├── BadArchiveError           compress.bad_archive
    ├── BiophaseMissingError      compress.biophase_missing
    ├── TooFewUnitsError          compress.too_few_units
    ├── TooManyUnitsError         compress.too_many_units
    ├── UnknownLayerError         compress.unknown_layer
    ├── UnknownClusterError       compress.unknown_cluster
    ├── BadClusterFileError       compress.bad_cluster_file
    ├── TargetOutOfReachError     compress.target_out_of_reach
    ├── OtherHistoryError         compress.other_history
    ├── BitsBudgetError           compress.bits_budget
    ├── RankError                 compress.rank
    ├── NegativeWeightError       compress.negative_weight
    ├── TooFewWindowsError        compress.too_few_windows
    ├── SharesMissingError        compress.shares_missing
    ├── NoZerosError              compress.no_zeros
    ├── ModelsDifferError         compress.models_differ
    └── BadAdapterError           compress.bad_adapter
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
    """A healing loss became NaN or infinite even at a quarter of the rate; blocks below the one named are healed."""

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
    hint = "Choose a group that divides the width, such as 2:4 or 4:8, or a structural pattern."


class BudgetError(CompressError):
    """A budget cannot be met; the message says what can."""

    code = "compress.budget"
    hint = "Ask for less, or let linears lie farther from the mean."


class UnmetBudgetError(BudgetError):
    """No plan keeps all budgets; the message names the nearest plans that keep some of them."""

    code = "compress.unmet_budget"
    hint = "Loosen the budget to one of the plans that the message names."


class PlanOrderError(CompressError):
    """The techniques of a plan do not go together, or not in this order (the message says why)."""

    code = "compress.plan_order"
    hint = "Cut first, heal what was cut, round last."


class EngineAbsentError(CompressError):
    """The target of a plan has no engine here, so nothing can be measured on it."""

    code = "compress.engine_absent"
    kind: ErrorKind = "unavailable"
    hint = "Plan for `--target cpu`, or plan on a machine that has the target."


class TimingEndedError(CompressError):
    """The process that timed files ended before it answered."""

    code = "compress.timing_ended"
    kind: ErrorKind = "unavailable"
    hint = "Free some memory and call again: what was measured before is kept."


class TooFewProbesError(CompressError):
    """Fewer measurements than it takes to fit a model of cost and to tell its error."""

    code = "compress.too_few_probes"
    hint = "Measure more probes, or leave techniques out of the plan's settings."


class UnknownStructureError(CompressError):
    """A name or glob fits no structure of the model."""

    code = "compress.unknown_structure"
    kind: ErrorKind = "not_found"
    hint = (
        "Names read as `layers.3`, `layers.3.attention`, `layers.3.kv_group.0`, `layers.3.neuron.7`; * stands for any."
    )


class BrokenConnectivityError(CompressError):
    """Without these structures no path of matching shapes would lead from the embedding to the head."""

    code = "compress.broken_connectivity"
    hint = "Remove whole KV groups, or the same number of query heads in each, and leave at least one layer."


class ProtectedStructureError(CompressError):
    """A structure that is protected was asked to go."""

    code = "compress.protected_structure"
    hint = "Leave it out, or loosen `protect` in the settings."


class ShareOutOfReachError(CompressError):
    """So much cannot go: what is left is protected or holds the model together."""

    code = "compress.share_out_of_reach"
    hint = "Lower `share`, protect less, or choose a pattern that may take more kinds of structures."


class BadLedgerError(CompressError):
    """A ledger of growth plates does not parse, or is of another model."""

    code = "compress.bad_ledger"
    hint = "Find the plates again: `birdbone compress plates MODEL --ledger FILE`."


class BadArchiveError(CompressError):
    """What was kept of a cut, so that it can be undone, is damaged or of another model."""

    code = "compress.bad_archive"
    hint = "Take the model from before the cut out of the vault instead."


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


class SharesMissingError(CompressError):
    """A wave is to shed by clusters, and was not told what each sheds."""

    code = "compress.shares_missing"
    hint = "Hand it the shares (`thresholds.ground.fractions_of`), or set `shed.cluster` to `linear`."


class NoZerosError(CompressError):
    """A model was to be healed under the mask of its zeros, and has none."""

    code = "compress.no_zeros"
    hint = (
        "Prune it first, such as with `birdbone compress shed MODEL --pattern unstructured --share 0.5 --out FOLDER`."
    )


class ModelsDifferError(CompressError):
    """A pruned model and the dense one that it should learn from do not have the same parts."""

    code = "compress.models_differ"
    hint = "Name the model that the pruned one was made from."


class BadAdapterError(CompressError):
    """A file does not hold masked adapters."""

    code = "compress.bad_adapter"
    hint = "Give the file that `birdbone compress heal --adapter FILE` wrote."
