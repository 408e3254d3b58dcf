"""When a wave is good, when it is on probation, and when it is undone. Pure arithmetic on perplexities.

Theory of operation. The state is the perplexity of the last good state and the number of waves since. A wave that stays
within `max_rise` of the last good state (and within `max_total_rise` of the dense model) is good: it becomes the last
good state, and with it the waves on probation before it. A wave that does not is on probation; the next wave sheds and
heals on top of it and may bring it back. After `patience` waves in a row on probation, or when no wave is left to bring
it back, all of them are undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from birdbone.compress.config import StopLossConfig

WaveVerdict = Literal["good", "probation", "undone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveDecision:
    """The verdict on a wave, with the figures behind it and a reason in words."""

    verdict: WaveVerdict
    rise: float
    total_rise: float
    reason: str


def judge_wave(
    perplexity: float,
    *,
    last_good: float,
    dense: float,
    num_on_probation: int,
    config: StopLossConfig,
    is_last: bool = False,
) -> WaveDecision:
    """Return what becomes of a wave.

    Args:
        perplexity: of the model after the wave, on the same windows as the other two.
        last_good: of the last good state.
        dense: of the dense model.
        num_on_probation: waves in a row on probation before this one.
        is_last: no wave comes after this one, so that it cannot be brought back.
    """
    rise, total_rise = perplexity / last_good - 1, perplexity / dense - 1
    reasons = [
        f"{what} by {value:+.2%}, limit {limit:+.2%}"
        for what, value, limit in (
            ("perplexity rose over the last good state", rise, config.max_rise),
            ("perplexity rose over the dense model", total_rise, config.max_total_rise),
        )
        if not value <= limit
    ]
    if not reasons:
        return _decision("good", rise, total_rise, f"perplexity {rise:+.2%} over the last good state")
    if num_on_probation + 1 < config.patience and not is_last:
        return _decision("probation", rise, total_rise, "; ".join(reasons))
    return _decision("undone", rise, total_rise, "; ".join(reasons) + _why_now(num_on_probation + 1, is_last=is_last))


def _why_now(num_waves: int, *, is_last: bool) -> str:
    if num_waves > 1:
        return f", {num_waves} waves in a row"
    return ", and no wave is left to bring it back" if is_last else ""


def _decision(verdict: WaveVerdict, rise: float, total_rise: float, reason: str) -> WaveDecision:
    return WaveDecision(verdict=verdict, rise=rise, total_rise=total_rise, reason=reason)
