"""False-alarm control: limits that a simulation of healthy noise does not pass more often than is allowed.

Theory of operation. Every family of noise is run through baseline and detectors once, and all scores are kept. Each
detector's limit is then the same quantile of its own scores, taken in the family where it is highest; one number, that
quantile, is raised until the vote alarms no more often than allowed in any family. A step counts as a false alarm only
if the step before did not alarm, as one spike is told once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdbone.compress.config import SpikeConfig, SpikeLimits
from birdbone.compress.spikes.healthy_level import HealthyLevel
from birdbone.compress.spikes.scores import SCORES, VOTERS, Scores

_NUM_HALVINGS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """A family of healthy noise: lag-1 correlation, and degrees of freedom of Student's t (None: normal)."""

    correlation: float = 0.0
    degrees: float | None = None


HEALTHY = (
    Noise(),
    Noise(correlation=0.5),
    Noise(correlation=0.8),
    Noise(degrees=5.0),
    Noise(correlation=0.5, degrees=5.0),
)
"""What the shipped limits are calibrated on."""


def draw_noise(noise: Noise, num_steps: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return noise of unit variance. Shape (num_steps,)."""
    drawn = (
        generator.standard_normal(num_steps)
        if noise.degrees is None
        else generator.standard_t(noise.degrees, num_steps) * np.sqrt((noise.degrees - 2) / noise.degrees)
    )
    fresh = np.sqrt(1 - noise.correlation**2)
    values, last = np.empty(num_steps), 0.0
    for step, value in enumerate(drawn):
        last = noise.correlation * last + fresh * value if step else float(value)
        values[step] = last
    return values


def calibrate_limits(
    config: SpikeConfig,
    *,
    generator: np.random.Generator,
    max_alarms_per_thousand: float = 0.5,
    num_steps: int = 20_000,
    families: Sequence[Noise] = HEALTHY,
) -> SpikeLimits:
    """Return limits under which healthy noise alarms at most so often in 1,000 steps, in each family.

    Args:
        config: all but its limits are used.
        max_alarms_per_thousand: for each family; a simulation of `num_steps` steps tells rates down to one over it.
        num_steps: of each family; the time is proportional to it (some 10 microseconds a step).
    """
    runs = [_scores_of(draw_noise(noise, num_steps, generator), config) for noise in families]
    low, high = 0.0, 1.0  # share of steps that may pass each limit
    for _ in range(_NUM_HALVINGS):
        share = (low + high) / 2
        limits = _limits_at(runs, share)
        worst = max(1000 * num_alarms(run, limits, min_votes=config.min_votes) / len(run) for run in runs)
        low, high = (share, high) if worst <= max_alarms_per_thousand else (low, share)
    return _limits_at(runs, low)


def num_alarms(scores_TS: NDArray[np.float64], limits: SpikeLimits, *, min_votes: int) -> int:
    """Return how often the vote begins to alarm. Shapes: T steps, S scores in the order of `SCORES`."""
    values = limits.model_dump()
    is_voting_TS = scores_TS[:, : len(VOTERS)] > np.array([values[name] for name in VOTERS])
    is_bad_T = (is_voting_TS.sum(axis=1) >= min_votes) | (scores_TS[:, 0] > limits.alone)
    return int(is_bad_T[0]) + int((is_bad_T[1:] & ~is_bad_T[:-1]).sum())


def _scores_of(losses_T: NDArray[np.float64], config: SpikeConfig) -> NDArray[np.float64]:
    """Return the scores of each step after the warm-up."""
    baseline, scores = HealthyLevel(level_rate=config.level_rate, spread_rate=config.spread_rate), Scores()
    rows = []
    for loss in losses_T.tolist():
        found = scores.take(baseline.deviation(loss))
        baseline.learn(loss)
        found["trend"] = baseline.trend()
        if baseline.num_steps > config.warm_up:
            rows.append([found[name] for name in SCORES])
        else:
            scores = Scores()
    return np.array(rows)


def _limits_at(runs: Sequence[NDArray[np.float64]], share: float) -> SpikeLimits:
    """Return the limits that a share of the steps of the noisiest family passes; a lone step needs a tenth of it."""
    highest = {
        name: max(float(np.quantile(run[:, place], 1 - share)) for run in runs) for place, name in enumerate(SCORES)
    }
    alone = max(float(np.quantile(run[:, 0], 1 - share / 10)) for run in runs)
    return SpikeLimits(**{name: max(1e-6, value) for name, value in (*highest.items(), ("alone", alone))})
