"""How much of a baseline's accuracy above chance a candidate keeps. Shape: N items.

On a task with four choices, 0.40 against 0.55 keeps not 73 % but half: 0.15 of 0.30 above the chance of 0.25. Where the
baseline itself is at chance, that quotient is noise over noise, and there is no number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri  # type: ignore[import-untyped]

from birdbone.evaluate.statistics.bootstrap import CONFIDENCE
from birdbone.evaluate.statistics.items import read_correct, require_paired, require_share
from birdbone.evaluate.statistics.proportions import MIN_STANDARD_ERRORS, accuracy

_PSEUDO_FLIPS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """(candidate - chance) / (baseline - chance), on the same items."""

    value: float
    """1 keeps all, 0 is at chance, above 1 is better than the baseline."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""
    num_items: int
    """N."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotInformative:
    """There is nothing above chance that could be kept, or not surely enough: no number stands for that."""

    reason: str
    """Why, with the figures."""
    num_items: int
    """N."""


def retention(
    candidate: ArrayLike, baseline: ArrayLike, *, chance: float, confidence: float = CONFIDENCE
) -> Retention | NotInformative:
    """Return the retention, or `NotInformative` where the baseline is not at least two standard errors above chance.

    Args:
        candidate: 0 or 1 for each item.
        baseline: the same for the baseline, on the same items in the same order.
        chance: expected accuracy of guessing, from 0 to below 1.
        confidence: level of the interval. Above 0.954 a baseline needs more than two standard errors.

    Raises:
        BadScoresError: a value is neither 0 nor 1.
        TooFewItemsError: there is no item.
        UnpairedError: the lengths differ.
        BadSettingError: `chance` or `confidence` is out of its range.

    Source: Fieller 1954, Journal of the Royal Statistical Society B 16(2), pages 175 to 185, for paired means. Differs:
    half an item is added to each direction of flips, as without it an interval without flips has no width.
    """
    require_share("confidence", confidence)
    candidate_N, baseline_N = read_correct(candidate), read_correct(baseline)
    require_paired(candidate_N, baseline_N)
    num_items = len(baseline_N)
    judged = accuracy(baseline_N)
    errors = judged.standard_errors_above(chance)
    ends = _fieller(_shares(candidate_N, baseline_N), num_items + 2 * _PSEUDO_FLIPS, chance, confidence)
    if errors < MIN_STANDARD_ERRORS or ends is None:
        reason = (
            f"the baseline's {judged.value:.3g} lies {errors:.2g} standard errors above the chance of {chance:.3g}: "
            f"too few at {num_items} items"
        )
        return NotInformative(reason=reason, num_items=num_items)
    value = (float(candidate_N.mean()) - chance) / (judged.value - chance)
    return Retention(value=value, low=min(ends[0], value), high=max(ends[1], value), num_items=num_items)


def retention_deviation(candidate: ArrayLike, baseline: ArrayLike, *, chance: float, bound: float) -> float:
    """Return by how many standard errors what was seen exceeds a retention of `bound`, were that the true one.

    The interval of `retention` holds a bound exactly if this is at most as large as the normal quantile of its level.

    Args:
        candidate: 0 or 1 for each item.
        baseline: the same for the baseline, on the same items in the same order.
        chance: expected accuracy of guessing, from 0 to below 1.
        bound: a retention.

    Raises:
        BadScoresError: a value is neither 0 nor 1.
        TooFewItemsError: there is no item.
        UnpairedError: the lengths differ.

    Source: Fieller 1954, as in `retention`: the deviation of the mean of candidate - bound x baseline from
    (1 - bound) x chance, over its standard error.
    """
    candidate_N, baseline_N = read_correct(candidate), read_correct(baseline)
    require_paired(candidate_N, baseline_N)
    ours, theirs, both = _shares(candidate_N, baseline_N)
    covariance = both - ours * theirs
    variance = ours * (1 - ours) - 2 * bound * covariance + bound**2 * theirs * (1 - theirs)
    excess = (ours - chance) - bound * (theirs - chance)
    return float(excess / np.sqrt(variance / (len(baseline_N) + 2 * _PSEUDO_FLIPS)))


def _shares(candidate_N: NDArray[np.bool_], baseline_N: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the shares right with the candidate, with the baseline, and with both, after the pseudo-flips."""
    both = int((candidate_N & baseline_N).sum())
    total = len(baseline_N) + 2 * _PSEUDO_FLIPS
    return (
        (int(candidate_N.sum()) + _PSEUDO_FLIPS) / total,
        (int(baseline_N.sum()) + _PSEUDO_FLIPS) / total,
        both / total,
    )


def _fieller(
    shares: tuple[float, float, float], total: float, chance: float, confidence: float
) -> tuple[float, float] | None:
    """Return both ends; None if the denominator is not surely above 0, where the interval has no ends."""
    candidate, baseline, both = shares
    above, below = candidate - chance, baseline - chance
    squared = float(ndtri(0.5 + confidence / 2)) ** 2 / total
    a = below**2 - squared * baseline * (1 - baseline)
    if below <= 0 or a <= 0:
        return None
    b = above * below - squared * (both - candidate * baseline)
    c = above**2 - squared * candidate * (1 - candidate)
    root = float(np.sqrt(max(0.0, b * b - a * c)))
    return (b - root) / a, (b + root) / a
