"""What is usual of a loss: its level, the spread of its noise, and how far one step's noise tells of the next.

Theory of operation. All three follow the stream by exponential weights, which begin as plain means. Each new loss is
clipped to three spreads from what was expected before anything learns from it, so that a spike moves the level by
little and the spread not much. Noise that is correlated from step to step would look like a rise to every detector that
sums over steps. So what is handed on is the part that the step before did not foretell: the residual less `correlation`
times the one before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_CLIP = 3.0
_MEAN_TO_SIGMA = math.sqrt(math.pi / 2)  # of the mean absolute value of a normal distribution
_MAX_CORRELATION = 0.95
_FAST, _SLOW = 0.2, 0.02


def _noise_of_trend() -> float:
    """Return the standard deviation of fast mean less slow mean on white noise of unit spread."""
    own = _FAST / (2 - _FAST) + _SLOW / (2 - _SLOW)
    shared = _FAST * _SLOW / (1 - (1 - _FAST) * (1 - _SLOW))
    return math.sqrt(own - 2 * shared)


_TREND_NOISE = _noise_of_trend()


@dataclass(slots=True, kw_only=True)
class HealthyLevel:
    """Level, spread and correlation of the losses so far. `learn` takes the next one; nothing else changes it."""

    level_rate: float
    spread_rate: float
    num_steps: int = 0
    level: float = 0.0
    _mean_deviation: float = 0.0
    _variance: float = 0.0
    _covariance: float = 0.0
    _last: float = 0.0
    _fast: float = 0.0
    _slow: float = 0.0

    @property
    def correlation(self) -> float:
        """Lag-1 correlation of the residuals, within 0 and 0.95; less would be swings, which are no drift."""
        if self._variance <= 0:
            return 0.0
        return min(max(self._covariance / self._variance, 0.0), _MAX_CORRELATION)

    @property
    def spread(self) -> float:
        """Standard deviation of what a step's loss adds to what was foretold, in the units of the loss."""
        return _MEAN_TO_SIGMA * self._mean_deviation

    def expected(self) -> float:
        """Return what the next loss is expected to be."""
        return self.level + self.correlation * self._last

    def deviation(self, loss: float) -> float:
        """Return how far a loss lies from what is expected, in standard deviations; 0 while nothing is known."""
        floor = 1e-9 * max(1.0, abs(self.level))  # a constant stream has no spread
        return (loss - self.expected()) / max(self.spread, floor) if self.num_steps > 1 else 0.0

    def trend(self) -> float:
        """Return how far a fast mean of the losses lies above a slow one, over what noise alone would give."""
        if self.spread <= 0:
            return 0.0
        # Sums of correlated noise are wider by (1 + r) / (1 - r), and it is itself wider than what it adds each step.
        noise = self.spread / (1 - self.correlation) * _TREND_NOISE
        return (self._fast - self._slow) / noise

    def learn(self, loss: float) -> None:
        """Take a finite loss into account."""
        if self.num_steps == 0:
            self.level = self._fast = self._slow = loss
            self.num_steps = 1
            return
        expected = self.expected()
        surprise = loss - expected
        if self.num_steps > 8:  # before, the spread is not known well enough to clip by
            surprise = math.copysign(min(abs(surprise), _CLIP * max(self.spread, 1e-12)), surprise)
        residual = expected + surprise - self.level
        rate = max(self.spread_rate, 1 / self.num_steps)
        self._mean_deviation += rate * (abs(surprise) - self._mean_deviation)
        self._variance += rate * (residual**2 - self._variance)
        self._covariance += rate * (residual * self._last - self._covariance)
        step = max(self.level_rate, 1 / (self.num_steps + 1)) * residual
        self.level += step
        self._last = residual - step
        self._fast += max(_FAST, 1 / (self.num_steps + 1)) * (expected + surprise - self._fast)
        self._slow += max(_SLOW, 1 / (self.num_steps + 1)) * (expected + surprise - self._slow)
        self.num_steps += 1
