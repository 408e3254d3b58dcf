"""The vote of the detectors, and the spikes that it makes of a stream of losses.

Theory of operation. Each loss becomes a deviation from what was expected (`baseline.py`), each deviation moves the
detectors (`scores.py`). A spike begins where enough of them vote, where one step is far beyond any noise, or where the
loss is not finite. While it lasts the baseline learns from clipped losses only; it ends after some calm steps, or
becomes the new level after many. Then the sums start anew, so that one spike is told once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from birdbone.compress.config import SpikeConfig
from birdbone.compress.spikes.healthy_level import HealthyLevel
from birdbone.compress.spikes.scores import VOTERS, ScoreName, Scores

SpikeSeverity = Literal["mild", "moderate", "severe", "fatal"]
"""Peak below 2 times the limit of a lone step, below 4 times, beyond; or a loss that was not finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one step told."""

    step: int
    loss: float
    votes: tuple[ScoreName, ...]
    """Detectors beyond their limits."""
    scores: Mapping[ScoreName, float]
    """Empty where the loss was not finite."""
    is_alarm: bool
    """Whether a spike begins at this step."""
    is_warning: bool
    """Whether the loss drifts up, and no spike is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spike:
    """One spike of the loss, for the history."""

    start: int
    """Step at which it was told."""
    stop: int | None
    """Step after its last; None while it lasts."""
    votes: tuple[ScoreName, ...]
    """Detectors that told it; none where the loss was not finite."""
    peak: float
    """Highest loss in it; NaN or infinite where one was."""
    peak_deviation: float
    """Highest deviation in it, in standard deviations."""
    severity: SpikeSeverity


@dataclass(slots=True)
class SpikeDetector:
    """Watches one stream of losses. `take` is O(1) in time and memory, but for the list of spikes."""

    config: SpikeConfig = field(default_factory=SpikeConfig)
    spikes: list[Spike] = field(default_factory=list)
    _baseline: HealthyLevel = field(init=False)
    _scores: Scores = field(init=False, default_factory=Scores)
    _step: int = field(init=False, default=0)
    _num_calm: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._baseline = HealthyLevel(level_rate=self.config.level_rate, spread_rate=self.config.spread_rate)

    def take(self, loss: float) -> Reading:
        """Return what the next loss tells; a spike that begins or goes on is kept in `spikes`."""
        scores, votes = self._read(loss) if math.isfinite(loss) else ({}, ())
        is_bad = self._is_bad(loss, scores, votes)
        was_on = self._is_on
        self._keep(loss, scores, votes, is_bad=is_bad)
        is_warning = not self._is_on and self._is_warm and scores.get("trend", 0.0) > self.config.limits.trend
        reading = Reading(
            step=self._step,
            loss=loss,
            votes=votes,
            scores=scores,
            is_alarm=is_bad and not was_on,
            is_warning=is_warning,
        )
        self._step += 1
        return reading

    @property
    def _is_warm(self) -> bool:
        return self._baseline.num_steps > self.config.warm_up

    @property
    def _is_on(self) -> bool:
        return bool(self.spikes) and self.spikes[-1].stop is None

    def _read(self, loss: float) -> tuple[dict[ScoreName, float], tuple[ScoreName, ...]]:
        deviation = self._baseline.deviation(loss)
        scores = self._scores.take(deviation)
        self._baseline.learn(loss)
        scores["trend"] = self._baseline.trend()
        if not self._is_warm:
            self._scores = Scores()
            return scores, ()
        limits = self.config.limits.model_dump()
        return scores, tuple(name for name in VOTERS if scores[name] > limits[name])

    def _is_bad(self, loss: float, scores: Mapping[ScoreName, float], votes: tuple[ScoreName, ...]) -> bool:
        if not math.isfinite(loss):
            return True
        is_far = self._is_warm and scores["deviation"] > self.config.limits.alone
        return is_far or len(votes) >= self.config.min_votes

    def _keep(
        self, loss: float, scores: Mapping[ScoreName, float], votes: tuple[ScoreName, ...], *, is_bad: bool
    ) -> None:
        deviation = scores.get("deviation", math.inf)
        if self._is_on:
            self._go_on(loss, deviation, votes)
        elif is_bad:
            self._num_calm = 0
            self.spikes.append(self._spike(self._step, votes, loss, deviation))

    def _go_on(self, loss: float, deviation: float, votes: tuple[ScoreName, ...]) -> None:
        spike = self.spikes[-1]
        peak = loss if math.isfinite(spike.peak) and not loss <= spike.peak else spike.peak
        worst = max(spike.peak_deviation, deviation)
        self.spikes[-1] = self._spike(spike.start, spike.votes, peak, worst)
        is_calm = math.isfinite(loss) and "deviation" not in votes and "average" not in votes
        self._num_calm = self._num_calm + 1 if is_calm else 0
        is_long = self._step - spike.start + 1 >= self.config.max_steps
        if self._num_calm >= self.config.calm_steps or is_long:
            self._end(is_new_level=self._num_calm < self.config.calm_steps)

    def _end(self, *, is_new_level: bool) -> None:
        self.spikes[-1] = replace(self.spikes[-1], stop=self._step + 1)
        self._scores = Scores()
        if is_new_level:
            self._baseline = HealthyLevel(level_rate=self.config.level_rate, spread_rate=self.config.spread_rate)

    def _spike(self, start: int, votes: tuple[ScoreName, ...], peak: float, deviation: float) -> Spike:
        severity = severity_of(deviation, alone=self.config.limits.alone)
        return Spike(start=start, stop=None, votes=votes, peak=peak, peak_deviation=deviation, severity=severity)


def severity_of(peak_deviation: float, *, alone: float) -> SpikeSeverity:
    """Return how bad a spike is by its peak, in standard deviations (infinite: the loss was not finite)."""
    if not math.isfinite(peak_deviation):
        return "fatal"
    return "severe" if peak_deviation >= 4 * alone else "moderate" if peak_deviation >= 2 * alone else "mild"


def find_spikes(losses: Iterable[float], config: SpikeConfig | None = None) -> list[Spike]:
    """Return the spikes of a series of losses, oldest first."""
    detector = SpikeDetector(config or SpikeConfig())
    for loss in losses:
        detector.take(loss)
    return detector.spikes
