"""Whether a candidate is no worse than a margin allows: the absence of a proof of harm is not a proof of its absence.

A test that finds no difference says little: with few items it never finds one. Here the burden lies on the candidate.
"No worse" (non-inferiority) needs the difference to be surely above -margin, "equal" (two one-sided tests, TOST) surely
within +-margin. Each one-sided test has the level of 5 %, so the interval shown is the middle 90 %.
Source: Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15, pages 657 to 680.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr  # type: ignore[import-untyped]

from birdbone.evaluate.errors import BadSettingError
from birdbone.evaluate.statistics.bootstrap import interval
from birdbone.evaluate.statistics.items import require_share
from birdbone.evaluate.statistics.pairs import Flips, accuracy_difference, mean_difference_draws, score_deviation
from birdbone.evaluate.statistics.ratio import PairedRatio

LEVEL = 0.05
"""Chance that is accepted of calling a candidate at the margin equivalent."""

PERPLEXITY_MARGIN = 0.03
"""Share by which a perplexity may rise."""

EquivalenceVerdict = Literal["equivalent", "better", "worse", "undecided"]
"""`worse` and `better`: surely beyond the margin on that side; `better` is only said where equality was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """A verdict with the figures it rests on."""

    verdict: EquivalenceVerdict
    """What is sure at the level."""
    low: float
    """Lower end of the interval that matches the level: 90 % at 5 %."""
    high: float
    """Upper end."""
    p_value: float
    """Of a candidate that lies at the margin or beyond; `equivalent` exactly if at most the level."""


def accuracy_equivalence(
    flips: Flips, *, margin: float, is_two_sided: bool = False, level: float = LEVEL
) -> Equivalence:
    """Return whether the candidate's accuracy is no worse than the baseline's by a margin, by the paired score test.

    Args:
        flips: of the candidate and the baseline.
        margin: difference of accuracies that is allowed, above 0 and below 1: 0.02 is two points.
        is_two_sided: ask for equality within the margin instead.
        level: of each one-sided test, below 0.5.

    Raises:
        BadSettingError: `margin` or `level` is out of its range.

    Source: Tango 1998, as in `pairs.score_deviation`.
    """
    require_share("margin", margin)
    _require_level(level)

    def chance_above(bound: float) -> float:
        return float(ndtr(score_deviation(flips, bound)))

    found = accuracy_difference(flips, confidence=1 - 2 * level)
    return _judge(chance_above, margin, (found.low, found.high), level=level, is_two_sided=is_two_sided)


def mean_equivalence(
    candidate: ArrayLike,
    baseline: ArrayLike,
    *,
    margin: float,
    seed: int,
    is_two_sided: bool = False,
    level: float = LEVEL,
    num_resamples: int = 2000,
) -> Equivalence:
    """Return whether the candidate's mean score is no worse than the baseline's by a margin, by the bootstrap-t.

    Args:
        candidate: one finite score an item, more is better.
        baseline: the same for the baseline, on the same items in the same order.
        margin: difference of mean scores that is allowed, above 0.
        seed: of the resampling.
        is_two_sided: ask for equality within the margin instead.
        level: of each one-sided test, below 0.5.
        num_resamples: R.

    Raises:
        BadScoresError: a score is not finite.
        TooFewItemsError: under `MIN_WINDOWS` items.
        UnpairedError: the lengths differ.
        BadSettingError: `margin` or `level` is out of its range.
    """
    _require_margin(margin)
    _require_level(level)
    draws_R, _, _ = mean_difference_draws(candidate, baseline, seed=seed, num_resamples=num_resamples)
    ends = interval(draws_R, confidence=1 - 2 * level)
    return _judge(_share_above(draws_R), margin, ends, level=level, is_two_sided=is_two_sided)


def perplexity_equivalence(
    ratio: PairedRatio, *, margin: float = PERPLEXITY_MARGIN, is_two_sided: bool = False, level: float = LEVEL
) -> Equivalence:
    """Return whether the candidate's perplexity is no worse than `1 + margin` times the baseline's.

    Args:
        ratio: of the candidate to the baseline.
        margin: share by which the perplexity may rise, above 0. The other bound, where equality is asked for, is
            `1 / (1 + margin)`, so that swapping the models changes nothing.
        is_two_sided: ask for equality within the margin instead.
        level: of each one-sided test, below 0.5.

    Returns:
        The verdict, with the interval as ratios of perplexities: a `low` above 1 is worse than the baseline.

    Raises:
        BadSettingError: `margin` or `level` is out of its range.
    """
    _require_margin(margin)
    _require_level(level)
    gain_R = -np.log(ratio.draws_R)
    low, high = interval(gain_R, confidence=1 - 2 * level)
    ends = (float(np.exp(-high)), float(np.exp(-low)))
    return _judge(_share_above(gain_R), float(np.log1p(margin)), ends, level=level, is_two_sided=is_two_sided)


def _judge(
    chance_above: Callable[[float], float],
    margin: float,
    ends: tuple[float, float],
    *,
    level: float,
    is_two_sided: bool,
) -> Equivalence:
    """Return the verdict; `chance_above` gives how sure it is, 0 to 1, that the candidate's gain exceeds a bound."""
    p_worse, p_better = 1 - chance_above(-margin), chance_above(margin)
    p_value = max(p_worse, p_better) if is_two_sided else p_worse
    verdict: EquivalenceVerdict = "undecided"
    if p_value <= level:
        verdict = "equivalent"
    elif p_worse >= 1 - level:
        verdict = "worse"
    elif is_two_sided and p_better >= 1 - level:
        verdict = "better"
    return Equivalence(verdict=verdict, low=ends[0], high=ends[1], p_value=p_value)


def _share_above(draws_R: NDArray[np.float64]) -> Callable[[float], float]:
    """Return the share of draws above a bound, a draw that equals it counted half."""

    def share(bound: float) -> float:
        return float(np.mean(draws_R > bound) + np.mean(draws_R == bound) / 2)

    return share


def _require_margin(margin: float) -> None:
    if not 0 < margin < np.inf:
        raise BadSettingError(f"`margin` is {margin}; a finite value above 0 was expected.")


def _require_level(level: float) -> None:
    if not 0 < level < 0.5:
        raise BadSettingError(f"`level` is {level}; a value between 0 and 0.5 was expected.")
