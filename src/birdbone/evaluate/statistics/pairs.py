"""Two models on the same items: answers that flipped, and how sure their difference is. Shapes: N items, R resamples.

The answers of two models are correlated, since both find the same items hard. Only items on which they differ tell them
apart: `gained` of them are right with the candidate alone, `lost` with the baseline alone. With n items,

    accuracy of the candidate - accuracy of the baseline = (gained - lost) / n.

The default test is the score's, McNemar's without a correction, and the interval is Tango's, which holds a difference
exactly if the score test does not reject it: the two never contradict each other. They were chosen by
`benchmarks/evaluate/bench_false_alarms.py` and `bench_interval_coverage.py`. The exact test is conservative by
construction: with 50 items and a fifth of the answers flipped it rejects equal models in 2 % of cases where 5 % are
allowed, and so misses changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq  # type: ignore[import-untyped]
from scipy.special import ndtr, ndtri  # type: ignore[import-untyped]
from scipy.stats import binom, binomtest  # type: ignore[import-untyped]

from birdbone.evaluate.errors import BadSettingError, TooFewItemsError
from birdbone.evaluate.statistics.bootstrap import CONFIDENCE, MIN_WINDOWS, bootstrap_means, interval
from birdbone.evaluate.statistics.items import read_correct, read_scores, require_paired, require_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """How many answers changed between a baseline and a candidate."""

    gained: int
    """Items that only the candidate has right."""
    lost: int
    """Items that only the baseline has right."""
    num_items: int
    """N, those that did not change included."""

    def __post_init__(self) -> None:
        if self.num_items < 1:
            raise TooFewItemsError("There are no items.", num_items=self.num_items, needed=1)
        if min(self.gained, self.lost) < 0 or self.gained + self.lost > self.num_items:
            raise BadSettingError(f"{self.gained} gained and {self.lost} lost do not fit {self.num_items} items.")

    @property
    def difference(self) -> float:
        """Accuracy of the candidate less that of the baseline."""
        return (self.gained - self.lost) / self.num_items

    @property
    def discordance(self) -> float:
        """Share of the items whose answer flipped."""
        return (self.gained + self.lost) / self.num_items


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """Candidate less baseline on the same items: above 0 the candidate is better."""

    value: float
    """Mean difference."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""
    p_value: float
    """Two-sided, of no difference; small where the interval leaves 0 out."""
    num_items: int
    """N."""


def count_flips(candidate: ArrayLike, baseline: ArrayLike) -> Flips:
    """Return how many answers flipped, in both directions.

    Args:
        candidate: 0 or 1 for each item.
        baseline: the same for the baseline, on the same items in the same order.

    Raises:
        BadScoresError: a value is neither 0 nor 1.
        TooFewItemsError: there is no item.
        UnpairedError: the lengths differ.
    """
    gained_N, lost_N = flipped_items(candidate, baseline)
    return Flips(gained=len(gained_N), lost=len(lost_N), num_items=np.size(candidate))


def flipped_items(candidate: ArrayLike, baseline: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the positions of the items that were gained and of those that were lost, each in ascending order.

    Raises:
        BadScoresError: a value is neither 0 nor 1.
        TooFewItemsError: there is no item.
        UnpairedError: the lengths differ.
    """
    candidate_N, baseline_N = read_correct(candidate), read_correct(baseline)
    require_paired(candidate_N, baseline_N)
    return np.flatnonzero(candidate_N & ~baseline_N), np.flatnonzero(baseline_N & ~candidate_N)


def exact_mcnemar(flips: Flips) -> float:
    """Return the two-sided p-value of the exact McNemar test: conservative, never above its level. No flips give 1.

    Source: McNemar 1947, Psychometrika 12(2), pages 153 to 157, with the binomial in place of its approximation.
    """
    num_flips = flips.gained + flips.lost
    return float(binomtest(flips.gained, num_flips).pvalue) if num_flips else 1.0


def mid_p_mcnemar(flips: Flips) -> float:
    """Return the exact p-value less half the probability of what was seen: nearer to its level, seldom above it.

    Source: Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91. Equal directions give
    1 - half the probability, no flips 1/2 + 1/2 = 1.
    """
    num_flips = flips.gained + flips.lost
    if not num_flips:
        return 1.0
    seen = float(binom.pmf(flips.gained, num_flips, 0.5))
    return 1.0 - seen / 2 if flips.gained == flips.lost else exact_mcnemar(flips) - seen


def score_mcnemar(flips: Flips) -> float:
    """Return the two-sided p-value of the score test, the default: (gained - lost) / sqrt(gained + lost) is normal.

    Source: McNemar 1947, without a correction for continuity. No flips give 1.
    """
    return float(2 * ndtr(-abs(score_deviation(flips, 0.0))))


def score_deviation(flips: Flips, difference: float) -> float:
    """Return by how many standard errors the difference that was seen exceeds `difference`, were that the true one.

    Args:
        flips: of a candidate and a baseline.
        difference: of accuracies, from -1 to 1.

    Source: Tango 1998, Statistics in Medicine 17, pages 891 to 908, eq. 14 to 17. Symbols: difference = lambda,
    gained = x12, lost = x21, the error's square = n (2 q21 + lambda (1 - lambda)). An excess of 0 is 0 errors.
    """
    excess = flips.gained - flips.lost - flips.num_items * difference
    error = _score_error(flips, difference)
    if error == 0:
        return float(np.sign(excess) * np.inf) if excess else 0.0
    return excess / error


def accuracy_difference(flips: Flips, *, confidence: float = CONFIDENCE) -> PairedDifference:
    """Return the difference of accuracies with Tango's score interval; swapping the models mirrors it exactly.

    Args:
        flips: of the candidate and the baseline.
        confidence: level of the interval.

    Raises:
        BadSettingError: `confidence` is not a share.

    Source: Tango 1998, as in `score_deviation`. Cost: some twenty evaluations of a closed form for each end.
    """
    require_share("confidence", confidence)
    swapped = Flips(gained=flips.lost, lost=flips.gained, num_items=flips.num_items)
    return PairedDifference(
        value=flips.difference,
        low=-_score_end(swapped, confidence),
        high=_score_end(flips, confidence),
        p_value=score_mcnemar(flips),
        num_items=flips.num_items,
    )


def mean_difference(
    candidate: ArrayLike, baseline: ArrayLike, *, seed: int, confidence: float = CONFIDENCE, num_resamples: int = 2000
) -> PairedDifference:
    """Return the difference of mean scores with its bootstrap-t interval; for graded scores, not for right and wrong.

    Args:
        candidate: one finite score an item, more is better.
        baseline: the same for the baseline, on the same items in the same order.
        seed: of the resampling.
        confidence: level of the interval.
        num_resamples: R; the p-value is never under 1 / R.

    Raises:
        BadScoresError: a score is not finite.
        TooFewItemsError: under `MIN_WINDOWS` items.
        UnpairedError: the lengths differ.
        BadSettingError: `confidence` is not a share.
    """
    require_share("confidence", confidence)
    draws_R, value, num_items = mean_difference_draws(candidate, baseline, seed=seed, num_resamples=num_resamples)
    low, high = interval(draws_R, confidence=confidence)
    tail = max(1 / num_resamples, 2 * min(float(np.mean(draws_R <= 0)), float(np.mean(draws_R >= 0))))
    return PairedDifference(value=value, low=low, high=high, p_value=min(1.0, tail), num_items=num_items)


def mean_difference_draws(
    candidate: ArrayLike, baseline: ArrayLike, *, seed: int, num_resamples: int
) -> tuple[NDArray[np.float64], float, int]:
    """Return R draws of the difference of mean scores, the difference itself, and N.

    Raises:
        BadScoresError: a score is not finite.
        TooFewItemsError: under `MIN_WINDOWS` items.
        UnpairedError: the lengths differ.
    """
    candidate_N, baseline_N = read_scores(candidate), read_scores(baseline)
    require_paired(candidate_N, baseline_N)
    num_items = len(candidate_N)
    if num_items < MIN_WINDOWS:
        message = f"{num_items} items are too few for an interval; at least {MIN_WINDOWS} are needed."
        raise TooFewItemsError(message, num_items=num_items, needed=MIN_WINDOWS)
    difference_N = candidate_N - baseline_N
    draws_R = bootstrap_means(difference_N, generator=np.random.default_rng(seed), num_resamples=num_resamples)
    return draws_R, float(difference_N.mean()), num_items


def _score_error(flips: Flips, difference: float) -> float:
    """Return the standard error of gained - lost, were `difference` the true one."""
    gained, lost, n = flips.gained, flips.lost, flips.num_items
    b = (2 * n - gained + lost) * difference - gained - lost
    c = -lost * difference * (1 - difference)
    share_lost = max(0.0, (np.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n), -difference)
    return float(np.sqrt(max(0.0, n * (2 * share_lost + difference * (1 - difference)))))


def _score_end(flips: Flips, confidence: float) -> float:
    """Return the largest difference that the score test does not reject."""
    quantile = float(ndtri(0.5 + confidence / 2))
    if flips.gained == flips.num_items:
        return 1.0

    def too_far(difference: float) -> float:
        excess = flips.num_items * difference - (flips.gained - flips.lost)
        return excess - quantile * _score_error(flips, difference)

    # Just above what was seen, where the error of no flips, or of flips all one way, is no longer 0.
    return float(brentq(too_far, flips.difference + 1e-12, 1.0, xtol=1e-12))
