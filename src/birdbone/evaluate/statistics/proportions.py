"""Accuracy with its interval, and whether it is above chance. Shape: N items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest  # type: ignore[import-untyped]

from birdbone.evaluate.errors import BadSettingError, TooFewItemsError
from birdbone.evaluate.statistics.bootstrap import CONFIDENCE
from birdbone.evaluate.statistics.items import read_correct, require_share

MIN_STANDARD_ERRORS = 2.0
"""An accuracy nearer to chance than this many standard errors is at chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The share of right answers."""

    value: float
    """Right answers over items."""
    low: float
    """Lower end of the Wilson interval."""
    high: float
    """Upper end."""
    num_correct: int
    """Right answers."""
    num_items: int
    """N."""

    def standard_errors_above(self, chance: float) -> float:
        """Return by how many standard errors the accuracy exceeds `chance`; negative below it.

        The larger of two standard errors counts, the one at the accuracy and the one at `chance`: where all of a few
        answers are right, the first is 0 and proves nothing. Where both are 0 (chance 0, all right), it is infinite.

        Args:
            chance: expected accuracy of guessing, from 0 to below 1.

        Raises:
            BadSettingError: `chance` is out of its range.
        """
        if not 0 <= chance < 1:
            raise BadSettingError(f"`chance` is {chance}; at least 0 and below 1 was expected.")
        variance = max(self.value * (1 - self.value), chance * (1 - chance))
        excess = self.value - chance
        if variance == 0:
            return np.inf if excess > 0 else 0.0
        return float(excess / np.sqrt(variance / self.num_items))

    def is_above(self, chance: float) -> bool:
        """Return whether the accuracy lies at least `MIN_STANDARD_ERRORS` above `chance`; if not, it is at chance."""
        return self.standard_errors_above(chance) >= MIN_STANDARD_ERRORS


def accuracy(correct: ArrayLike, *, confidence: float = CONFIDENCE) -> Accuracy:
    """Return the share of right answers with its Wilson interval.

    Args:
        correct: one value an item, 0 or 1.
        confidence: level of the interval.

    Raises:
        BadScoresError: a value is neither 0 nor 1.
        TooFewItemsError: there is no item.
        BadSettingError: `confidence` is not a share.
    """
    correct_N = read_correct(correct)
    num_correct, num_items = int(correct_N.sum()), len(correct_N)
    low, high = wilson_interval(num_correct, num_items, confidence=confidence)
    return Accuracy(value=num_correct / num_items, low=low, high=high, num_correct=num_correct, num_items=num_items)


def wilson_interval(num_correct: int, num_items: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return both ends of Wilson's score interval of a share.

    Raises:
        TooFewItemsError: `num_items` is 0.
        BadSettingError: `confidence` is not a share, or `num_correct` is not from 0 to `num_items`.

    Source: Wilson 1927, Journal of the American Statistical Association 22(158), pages 209 to 212; SciPy's `binomtest`.
    """
    require_share("confidence", confidence)
    if num_items < 1:
        raise TooFewItemsError("There are no items.", num_items=num_items, needed=1)
    if not 0 <= num_correct <= num_items:
        raise BadSettingError(f"`num_correct` is {num_correct}; 0 to {num_items} was expected.")
    ends = binomtest(num_correct, num_items).proportion_ci(confidence_level=confidence, method="wilson")
    return float(ends.low), float(ends.high)


def share_deviation(num_correct: int, num_items: int, share: float) -> float:
    """Return by how many standard errors a share that was seen exceeds `share`, were that the true one.

    Wilson's interval holds a share exactly if this is at most as large as the normal quantile of its level.

    Raises:
        TooFewItemsError: `num_items` is 0.
        BadSettingError: `share` is not strictly between 0 and 1.

    Source: Wilson 1927, as in `wilson_interval`.
    """
    require_share("share", share)
    if num_items < 1:
        raise TooFewItemsError("There are no items.", num_items=num_items, needed=1)
    return float((num_correct / num_items - share) / np.sqrt(share * (1 - share) / num_items))
