"""From answers and likelihoods to what a rule compares with its limit: an effect, its interval and its p-value.

Interval and p-value come from one test each, so that they never contradict each other: Tango's score test for a
difference, Fieller's for a retention, Wilson's for a share of flips, the bootstrap for graded scores and perplexities.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri  # type: ignore[import-untyped]

from birdbone.core import Measurement
from birdbone.evaluate.benchmarks.comparison import BenchmarkComparison, compare
from birdbone.evaluate.errors import TooFewItemsError, TooFewWindowsError
from birdbone.evaluate.gates.evidence import KL, RATIO, SAME_TOP, AnswerPair, Evidence
from birdbone.evaluate.gates.rules import (
    BenchmarkRule,
    DifferenceRule,
    DivergenceRule,
    FlipsRule,
    NoWorseRule,
    PerplexityRatioRule,
    RetentionRule,
    SameTopRule,
    TextRule,
)
from birdbone.evaluate.statistics import CONFIDENCE, PairedRatio
from birdbone.evaluate.statistics.pairs import Flips, mean_difference_draws, score_deviation
from birdbone.evaluate.statistics.power import (
    detectable_difference,
    detectable_shift,
    least_detectable_difference,
)
from birdbone.evaluate.statistics.proportions import share_deviation, wilson_interval
from birdbone.evaluate.statistics.retention import NotInformative, retention_deviation

_SEED = 0
_NUM_RESAMPLES = 2000
_WIDTH_IN_ERRORS = 2 * float(ndtri(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An effect and how sure it is."""

    value: float
    """The effect, in the units of the rule's limit."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""
    num: int
    """How many were looked at."""
    noun: str
    """Of what: items, windows or tokens."""
    detectable: float | None
    """The least change of the effect that so many show in four of five cases; None where none can be shown."""
    chance_below: Callable[[float], float] | None = None
    """How likely an effect as low as this one would be, if a given one were true; None where only ends are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoEstimate:
    """There is nothing to compare with the limit."""

    reason: str
    """Why."""
    is_uninformative: bool = False
    """Whether it was measured, and the baseline knows too little for it to mean anything."""
    is_measured: bool = False
    """Whether there were answers at all."""


def estimate_answers(rule: BenchmarkRule, pair: AnswerPair) -> Estimate | NoEstimate:
    """Return what a rule over answers is judged by.

    Raises:
        UnpairedError: the two were not asked the same.
    """
    try:
        (found,) = compare([pair.candidate], [pair.baseline])
    except (TooFewItemsError, TooFewWindowsError) as error:
        return NoEstimate(reason=error.message, is_measured=True)
    match rule:
        case DifferenceRule() | NoWorseRule():
            return _difference(pair, found)
        case RetentionRule():
            return _retention(pair, found)
        case FlipsRule():
            return _flips(rule, found)
        case _:
            assert_never(rule)


def estimate_text(rule: TextRule, evidence: Evidence) -> Estimate | NoEstimate:
    """Return what a rule over predictions of text is judged by."""
    match rule:
        case PerplexityRatioRule():
            return _ratio(evidence.ratio) if evidence.ratio is not None else _measured(evidence, RATIO)
        case DivergenceRule():
            return _measured(evidence, KL)
        case SameTopRule():
            return _measured(evidence, SAME_TOP)
        case _:
            assert_never(rule)


def _difference(pair: AnswerPair, found: BenchmarkComparison) -> Estimate:
    change, flips = found.difference, found.flips
    if flips is None:
        ours, theirs = _scores(pair)
        draws_R, _, _ = mean_difference_draws(ours, theirs, seed=_SEED, num_resamples=_NUM_RESAMPLES)
        # The draws spread around what was seen as what is seen spreads around the truth.
        chance_below = _share_of(draws_R)
        detectable: float | None = detectable_shift((change.high - change.low) / _WIDTH_IN_ERRORS)
    else:
        known = flips
        chance_below = lambda bound: float(ndtr(score_deviation(known, bound)))  # noqa: E731
        detectable = _detectable(flips)
    return Estimate(
        value=change.value,
        low=change.low,
        high=change.high,
        num=change.num_items,
        noun="items",
        detectable=detectable,
        chance_below=chance_below,
    )


def _retention(pair: AnswerPair, found: BenchmarkComparison) -> Estimate | NoEstimate:
    kept, flips = found.retention, found.flips
    if isinstance(kept, NotInformative) or flips is None:
        reason = kept.reason if isinstance(kept, NotInformative) else "graded scores"
        return NoEstimate(reason=reason, is_uninformative=True, is_measured=True)
    ours, theirs = _scores(pair)
    chance = pair.baseline.chance
    shown = _detectable(flips)
    return Estimate(
        value=kept.value,
        low=kept.low,
        high=kept.high,
        num=kept.num_items,
        noun="items",
        detectable=None if shown is None else shown / (found.baseline - chance),
        chance_below=lambda bound: float(ndtr(retention_deviation(ours, theirs, chance=chance, bound=bound))),
    )


def _flips(rule: FlipsRule, found: BenchmarkComparison) -> Estimate | NoEstimate:
    if found.flips is None:
        return NoEstimate(reason="graded scores do not flip", is_measured=True)
    flips = found.flips
    num, num_items = flips.lost + (flips.gained if rule.counted == "all" else 0), flips.num_items
    low, high = wilson_interval(num, num_items)
    error = math.sqrt(rule.at_most * (1 - rule.at_most) / num_items)
    return Estimate(
        value=num / num_items,
        low=low,
        high=high,
        num=num_items,
        noun="items",
        detectable=detectable_shift(error),
        chance_below=lambda bound: float(ndtr(share_deviation(num, num_items, bound))),
    )


def _ratio(ratio: PairedRatio) -> Estimate:
    error = math.log(ratio.high / ratio.low) / _WIDTH_IN_ERRORS
    return Estimate(
        value=ratio.value,
        low=ratio.low,
        high=ratio.high,
        num=ratio.num_windows,
        noun="windows",
        detectable=math.expm1(detectable_shift(error)),
        chance_below=_share_of(ratio.draws_R),
    )


def _measured(evidence: Evidence, name: str) -> Estimate | NoEstimate:
    found = next((row for row in evidence.candidate if row.name == name and row.basis == "measured"), None)
    if found is None:
        return NoEstimate(reason="not measured")
    if found.low is None or found.high is None:
        return NoEstimate(reason="its interval was not measured")
    return Estimate(
        value=found.value,
        low=found.low,
        high=found.high,
        num=found.sample_size or 0,
        noun="tokens",
        detectable=_detectable_of(found, found.high - found.low),
    )


def _detectable_of(found: Measurement, width: float) -> float:
    """Return the least change that an interval of this width shows; of a ratio, as a rise from 1."""
    if found.name == RATIO and found.low is not None and found.high is not None and found.low > 0:
        return math.expm1(detectable_shift(math.log(found.high / found.low) / _WIDTH_IN_ERRORS))
    return detectable_shift(max(0.0, width) / _WIDTH_IN_ERRORS)


def _detectable(flips: Flips) -> float | None:
    """Return the least difference that is found, at the discordance that was seen with half a flip more each way.

    Where so few flips could show none, the least at any discordance stands for it.
    """
    discordance = (flips.gained + flips.lost + 1) / (flips.num_items + 2)
    found = detectable_difference(flips.num_items, discordance=discordance)
    return least_detectable_difference(flips.num_items) if found is None else found


def _share_of(draws_R: NDArray[np.float64]) -> Callable[[float], float]:
    """Return the share of draws above a bound, held off 0 and 1 by one draw, as R draws prove no more."""

    def share(bound: float) -> float:
        above = float(np.mean(draws_R > bound) + np.mean(draws_R == bound) / 2)
        return min(max(above, 1 / len(draws_R)), 1 - 1 / len(draws_R))

    return share


def _scores(pair: AnswerPair) -> tuple[list[float], list[float]]:
    return [item.score for item in pair.candidate.items], [item.score for item in pair.baseline.items]
