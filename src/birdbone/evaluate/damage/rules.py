"""Rules over a paired reading: which limit is surely kept, which surely exceeded. Shapes: N windows, P positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from birdbone.evaluate.damage.tolerance import Tolerance
from birdbone.evaluate.statistics.bootstrap import bootstrap_means
from birdbone.evaluate.statistics.multiplicity import holm

RuleName = Literal["divergence", "late_divergence", "loss", "wrecked", "text_loss", "round_trip"]
RuleOutcome = Literal["within", "above", "undecided"]
"""`above`: surely beyond the limit. `within`: surely below it; for a rule that only raises alarms, not surely above."""

WRECKED_NATS = 1.0
"""A position that diverges by more is wrecked."""

NUM_RESAMPLES = 4999


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedReading:
    """What two models make of the same windows, at each position whose next token is known."""

    kl_NP: NDArray[np.float64]
    """KL(baseline || candidate) in nats."""
    jump_NP: NDArray[np.float64]
    """Negative log-likelihood of the next token by the candidate, less that by the baseline, in nats."""
    same_NP: NDArray[np.bool_]
    """Whether both have the same most likely token."""
    ids_NP: NDArray[np.int64]
    """The token that stands at the position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFinding:
    """What one rule found."""

    rule: RuleName
    outcome: RuleOutcome
    value: float
    """What was measured."""
    limit: float
    """What it may be."""
    unit: str
    low: float | None
    """Lower end of the one-sided interval at the level; absent where all there is was looked at."""
    high: float | None
    """Upper end."""
    reason: str
    """Why, with the figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """A rule on a mean over windows."""

    rule: RuleName
    words: str
    values_N: NDArray[np.float64]
    limit: float
    unit: str
    must_be_shown: bool
    """Whether the mean has to be shown below the limit; else it only may not be surely above."""


def judge_reading(reading: PairedReading, tolerance: Tolerance, *, seed: int) -> tuple[RuleFinding, ...]:
    """Return what the rules find where both models read the same tokens.

    Args:
        reading: of at least `MIN_WINDOWS` windows, all finite.
        tolerance: gives the limits and the level.
        seed: of the resampling.

    Raises:
        TooFewWindowsError: N is under `MIN_WINDOWS`.
    """
    late = slice(-max(1, reading.kl_NP.shape[1] // 4), None)
    nat = "nat/token"
    rules = (
        WindowRule(
            rule="divergence",
            words="KL divergence",
            values_N=reading.kl_NP.mean(axis=1),
            limit=tolerance.nats,
            unit=nat,
            must_be_shown=True,
        ),
        WindowRule(
            rule="late_divergence",
            words="KL divergence over the last quarter of each window",
            values_N=reading.kl_NP[:, late].mean(axis=1),
            limit=tolerance.late_nats,
            unit=nat,
            must_be_shown=True,
        ),
        WindowRule(
            rule="loss",
            words="rise of the loss",
            values_N=reading.jump_NP.mean(axis=1),
            limit=tolerance.nats,
            unit=nat,
            must_be_shown=False,
        ),
        WindowRule(
            rule="wrecked",
            words=f"share of positions that diverge by over {WRECKED_NATS:g} nat",
            values_N=(reading.kl_NP > WRECKED_NATS).mean(axis=1),
            limit=tolerance.wrecked_share,
            unit="1",
            must_be_shown=False,
        ),
    )
    return judge_windows(rules, level=tolerance.level, seed=seed)


def judge_windows(rules: Sequence[WindowRule], *, level: float, seed: int) -> tuple[RuleFinding, ...]:
    """Return what rules on means over windows find, in their order.

    Args:
        rules: at least one; each on at least `MIN_WINDOWS` windows.
        level: of the proof that a limit is kept, and of all alarms together.
        seed: of the resampling, the same for each rule.

    Raises:
        TooFewWindowsError: a rule has fewer windows.

    Source: Holm 1979, as in `statistics.multiplicity`; bootstrap-t as in `statistics.bootstrap`.
    """
    drawn = [
        bootstrap_means(rule.values_N, generator=np.random.default_rng(seed), num_resamples=NUM_RESAMPLES)
        for rule in rules
    ]
    # An estimate of a p-value by resampling is never 0: the sample itself counts as one draw.
    raw = [(1 + int(np.sum(draws <= rule.limit))) / (1 + len(draws)) for rule, draws in zip(rules, drawn, strict=True)]
    adjusted = holm(raw)
    return tuple(
        _judge(rule, draws, float(p_value), level=level)
        for rule, draws, p_value in zip(rules, drawn, adjusted, strict=True)
    )


def _judge(rule: WindowRule, draws: NDArray[np.float64], p_value: float, *, level: float) -> RuleFinding:
    low, high = (float(end) for end in np.quantile(draws, [level, 1 - level]))
    outcome: RuleOutcome = "within"
    if p_value <= level:
        outcome = "above"
    elif rule.must_be_shown and high > rule.limit:
        outcome = "undecided"
    value = float(rule.values_N.mean())
    ends = f"{1 - 2 * level:.0%} within {low:.3g} and {high:.3g}"
    return RuleFinding(
        rule=rule.rule,
        outcome=outcome,
        value=value,
        limit=rule.limit,
        unit=rule.unit,
        low=low,
        high=high,
        reason=f"{rule.words} {value:.3g}, {ends}; {_bound(rule, outcome)}",
    )


def _bound(rule: WindowRule, outcome: RuleOutcome) -> str:
    words: dict[RuleOutcome, str] = {
        "within": "surely below" if rule.must_be_shown else "not surely above",
        "above": "surely above",
        "undecided": "not surely below",
    }
    return f"{words[outcome]} the limit of {rule.limit:.3g}"
