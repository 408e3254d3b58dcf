"""Thresholds on scores: by a share of the weights, by a share of their importance, by distance from the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from birdbone.compress.importance.sketch import ScoreSketch, bin_edge

ThresholdRule = Literal["quantile", "importance", "z_score"]
"""What a threshold was chosen by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold and what dropping every weight below it does; both shares are exact for this very value."""

    rule: ThresholdRule
    argument: float
    """What was asked of the rule."""
    value: float
    sparsity: float
    """Share of the weights that score below the value."""
    importance_kept: float
    """Share of the sum of all scores that is not below the value."""


def threshold_by_quantile(sketch: ScoreSketch, share: float) -> Threshold:
    """Return the largest threshold that drops at most `share` of the weights."""
    return _threshold(sketch, "quantile", share, value=sketch.edge_of_share(share))


def threshold_by_importance(sketch: ScoreSketch, kept: float) -> Threshold:
    """Return the largest threshold that keeps at least the share `kept` of the sum of all scores."""
    return _threshold(sketch, "importance", kept, value=sketch.edge_of_importance(1 - kept))


def threshold_by_z_score(sketch: ScoreSketch, z: float) -> Threshold:
    """Return the threshold `z` standard deviations above the mean, rounded down to a bin edge; 0 where it is below."""
    return _threshold(sketch, "z_score", z, value=bin_edge(sketch.mean + z * sketch.deviation))


def _threshold(sketch: ScoreSketch, rule: ThresholdRule, argument: float, *, value: float) -> Threshold:
    return Threshold(
        rule=rule,
        argument=argument,
        value=value,
        sparsity=sketch.share_below(value),
        importance_kept=1 - sketch.importance_below(value),
    )
