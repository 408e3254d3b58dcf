"""How large the next wave is, how much it heals, or why there is none. Pure: outcomes and settings in, a plan out.

Theory of operation. `fixed` plans the same wave until the stop-loss undoes one. `adaptive` looks at the end of the
history alone. Waves that stayed well within the limits are stable, and after enough of them in a row the next is larger
by `growth`; a good wave that is not stable keeps the size. The k-th undone wave in a row is followed by one smaller by
`back_off` to the k-th power, and by a doubled share of healing. No plan leaves the bounds: `min_fraction` below,
`shed.fraction` above. An emergency ends the waves whatever the control.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from birdbone.compress.config import AdaptiveControl, WavesConfig
from birdbone.compress.stop_loss import WaveVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveOutcome:
    """What the control needs to know of a wave that was made."""

    fraction: float
    """Share of each cluster's survivors that it shed."""
    healing_factor: float = 1.0
    """Its healing steps over `heal.num_steps`."""
    verdict: WaveVerdict
    rise: float
    """Of perplexity, over the last good state before it; may be NaN."""
    total_rise: float
    """Of perplexity, over the dense model."""
    seconds: float = 0.0
    """That it took."""
    available_bytes: int | None = None
    """Memory that the machine had left after it; None: not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WavePlan:
    """The next wave. Without a fraction there is none."""

    fraction: float | None
    healing_factor: float
    reason: str


def next_wave(history: Sequence[WaveOutcome], config: WavesConfig) -> WavePlan:
    """Return the plan of the next wave, or the reason why the waves end."""
    if len(history) >= config.max_waves:
        return _end(f"the recipe allows {config.max_waves} waves")
    emergency = find_emergency(history, config)
    if emergency is not None:
        return _end(emergency)
    match config.control.kind:
        case "fixed":
            return _plan_fixed(history, config)
        case "adaptive":
            return _plan_adaptive(history, config.control, cap=config.shed.fraction, config=config)
        case _:
            assert_never(config.control.kind)


def find_emergency(history: Sequence[WaveOutcome], config: WavesConfig) -> str | None:
    """Return why the waves must end now, or None."""
    if not history:
        return None
    last, rule, seconds = history[-1], config.emergency, sum(outcome.seconds for outcome in history)
    if not math.isfinite(last.rise):
        return "emergency: the perplexity is not finite"
    if last.rise > rule.max_rise:
        return f"emergency: perplexity rose by {last.rise:+.0%}, beyond {rule.max_rise:+.0%}"
    if rule.max_seconds is not None and seconds > rule.max_seconds:
        return f"emergency: the waves took {seconds:.0f} s, beyond {rule.max_seconds:.0f} s"
    if None not in (rule.min_available_bytes, last.available_bytes) and _is_short(last, rule.min_available_bytes or 0):
        return f"emergency: {last.available_bytes:,} bytes of memory are left, under {rule.min_available_bytes:,}"
    return None


def _is_short(last: WaveOutcome, min_available_bytes: int) -> bool:
    return last.available_bytes is not None and last.available_bytes < min_available_bytes


def _plan_fixed(history: Sequence[WaveOutcome], config: WavesConfig) -> WavePlan:
    if history and history[-1].verdict == "undone":
        return _end("the stop-loss undid the last wave")
    return WavePlan(fraction=config.shed.fraction, healing_factor=1.0, reason="the size that the recipe sets")


def _plan_adaptive(
    history: Sequence[WaveOutcome], control: AdaptiveControl, *, cap: float, config: WavesConfig
) -> WavePlan:
    low = min(control.min_fraction, cap)
    if not history:
        fraction = min(max(control.start_fraction, low), cap)
        return WavePlan(fraction=fraction, healing_factor=1.0, reason="a cautious start")
    last, num_bad = history[-1], _num_bad(history)
    if num_bad:
        return _back_off(last, num_bad, control, low=low)
    healing = max(1.0, last.healing_factor / 2)
    num_stable = _num_stable(history, control, config)
    if num_stable and num_stable % control.stable_waves == 0:
        fraction = min(last.fraction * control.growth, cap)
        return WavePlan(fraction=fraction, healing_factor=healing, reason=f"{num_stable} stable in a row")
    return WavePlan(fraction=min(last.fraction, cap), healing_factor=healing, reason="the last wave was just good")


def _back_off(last: WaveOutcome, num_bad: int, control: AdaptiveControl, *, low: float) -> WavePlan:
    if num_bad >= control.max_back_offs:
        return _end(f"{num_bad} waves in a row were undone")
    if last.fraction <= low:
        return _end(f"a wave of {last.fraction:.2%}, the least, was undone")
    healing = min(control.max_healing_factor, 2 * last.healing_factor)
    fraction = max(low, last.fraction * control.back_off**num_bad)
    return WavePlan(fraction=fraction, healing_factor=healing, reason=f"{num_bad} undone in a row")


def _num_bad(history: Sequence[WaveOutcome]) -> int:
    """Return how many waves in a row were not good, up to the last."""
    good = [place for place, outcome in enumerate(history, start=1) if outcome.verdict == "good"]
    return len(history) - max(good, default=0)


def _num_stable(history: Sequence[WaveOutcome], control: AdaptiveControl, config: WavesConfig) -> int:
    """Return how many waves in a row stayed well within both limits, up to the last."""
    limits = config.stop_loss
    count = 0
    for outcome in reversed(history):
        is_calm = outcome.rise <= control.margin * limits.max_rise
        if outcome.verdict != "good" or not is_calm or outcome.total_rise > limits.max_total_rise:
            break
        count += 1
    return count


def _end(reason: str) -> WavePlan:
    return WavePlan(fraction=None, healing_factor=1.0, reason=reason)
