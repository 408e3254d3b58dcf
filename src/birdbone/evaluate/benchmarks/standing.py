"""How well a result stands: its score with an interval, and whether it is more than a guess."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from birdbone.core import Measurement
from birdbone.evaluate.benchmarks.results import BenchmarkResult
from birdbone.evaluate.statistics import CONFIDENCE, bootstrap_means, interval
from birdbone.evaluate.statistics.proportions import MIN_STANDARD_ERRORS, accuracy

_NUM_RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A score and what it is worth."""

    value: float
    """Mean score."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""
    chance: float
    """What guessing would score on these items."""
    is_above_chance: bool | None
    """Whether the score lies at least two standard errors above a guess. If not, it tells nothing of the model.

    None where a model graded the answers: nobody knows what it would give a guess.
    """

    @property
    def in_words(self) -> str:
        """What `standing_words` says of it."""
        return standing_words(self.is_above_chance)


def standing_words(is_above_chance: bool | None) -> str:
    """Return `above a guess`, `at chance`, or `a model's opinion`."""
    if is_above_chance is None:
        return "a model's opinion"
    return "above a guess" if is_above_chance else "at chance"


def standing_of(result: BenchmarkResult) -> Standing:
    """Return the standing: by Wilson's interval for right and wrong, by the bootstrap for graded scores.

    Raises:
        TooFewWindowsError: graded scores of fewer than eight items.
    """
    scores = np.array([item.score for item in result.items])
    if np.isin(scores, (0, 1)).all():
        found = accuracy(scores)
        low, high, is_above = found.low, found.high, found.is_above(result.chance)
    else:
        draws = bootstrap_means(scores, generator=np.random.default_rng(_SEED), num_resamples=_NUM_RESAMPLES)
        low, high = interval(draws)
        error = float(scores.std(ddof=1)) / np.sqrt(len(scores))
        is_above = bool(scores.mean() - result.chance >= MIN_STANDARD_ERRORS * error)
    return Standing(
        value=float(scores.mean()),
        low=low,
        high=high,
        chance=result.chance,
        is_above_chance=None if result.is_opinion else is_above,
    )


def measurement_of(result: BenchmarkResult) -> Measurement:
    """Return the score as a measurement on what was asked."""
    found = standing_of(result)
    examples = f"{result.num_fewshot} example(s) in the prompt" if result.num_fewshot else "no examples"
    return Measurement(
        name=f"benchmark.{result.benchmark}",
        value=found.value,
        unit="1",
        method=f"{result.metric} of {result.harness}, {examples}, {100 * CONFIDENCE:.0f} % interval",
        artefact=result.artefact,
        sample_size=len(result.items),
        low=found.low,
        high=found.high,
    )
