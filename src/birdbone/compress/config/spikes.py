"""When a rise of the training loss is a spike."""

from __future__ import annotations

from pydantic import Field

from birdbone.core import Settings


class SpikeLimits(Settings):
    """What each detector needs for its vote, in standard deviations of the healthy noise.

    The defaults are what `calibrate_limits` gives for noise that is normal or heavy-tailed (Student, 5 degrees of
    freedom), white or with a lag-1 correlation of up to 0.8, at 0.5 false alarms in 1,000 steps: 20,000 steps of each
    family, seed 0, rounded to two digits. Heavier tails alarm more often (3 degrees: 2.2 in 1,000).
    """

    deviation: float = Field(default=4.2, gt=0, le=100)
    """One step above the level: the robust z-score."""
    average: float = Field(default=3.8, gt=0, le=100)
    """The mean of the last four steps, as a z-score."""
    cusum: float = Field(default=10.0, gt=0, le=1000)
    """The cumulative sum above half a standard deviation."""
    page_hinkley: float = Field(default=13.4, gt=0, le=1000)
    """The statistic of Page and Hinkley."""
    spread: float = Field(default=5.1, gt=0, le=1000)
    """The cumulative sum of absolute deviations: swings to both sides."""
    alone: float = Field(default=7.0, gt=0, le=1000)
    """One step so far above the level that it needs no second vote."""
    trend: float = Field(default=2.8, gt=0, le=100)
    """The fast mean above the slow one, as a z-score: an early warning, no vote."""


class SpikeConfig(Settings):
    """How a stream of losses is watched; what one step costs does not grow with the stream."""

    warm_up: int = Field(default=24, ge=4, le=100_000)
    """Steps that only teach the detectors what is usual; a loss that is not finite alarms even then."""
    min_votes: int = Field(default=2, ge=1, le=5)
    """Detectors that have to agree."""
    level_rate: float = Field(default=0.05, gt=0, le=0.5)
    """Share by which the level follows each new loss."""
    spread_rate: float = Field(default=0.02, gt=0, le=0.5)
    """The same for its spread and its lag-1 correlation."""
    calm_steps: int = Field(default=8, ge=1, le=10_000)
    """Steps in a row without a vote that end a spike."""
    max_steps: int = Field(default=64, ge=1, le=100_000)
    """Steps after which a spike that does not end is the new level."""
    limits: SpikeLimits = SpikeLimits()
    """What each detector needs for its vote."""
