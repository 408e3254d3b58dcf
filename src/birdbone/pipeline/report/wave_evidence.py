"""What a wave noted beside its figures: plan, forecast, damage, spikes. What it did not note is None or empty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from birdbone.pipeline.report.linears import LinearGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRow:
    """What a wave was said to cost, in nats of loss a token, before it was made."""

    rise: float
    low: float
    high: float
    """Ends of the 95 % interval."""
    error: float
    """Leave-one-out error of such forecasts on the waves before."""
    error_of_mean: float
    """The same of forecasting the mean of the waves before."""
    num_waves: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikeRow:
    """A spike of the loss while a wave healed."""

    block: int | None
    """None where the whole model learned at once."""
    start: int
    """Step of the wave's healing at which it was told."""
    severity: str
    votes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveEvidence:
    """What one wave noted."""

    fraction: float | None
    """Share of the survivors that it was to shed."""
    healing_factor: float | None
    plan_reason: str
    forecast: ForecastRow | None
    step_rise: float | None
    """Rise of perplexity over the state that it began with."""
    cost: float | None
    """The same in nats: the log of the perplexity after it over the one before it."""
    own_damage: tuple[float | None, ...]
    """Relative squared error of each layer fed the dense stream."""
    propagated_damage: tuple[float | None, ...]
    """The same fed its own stream."""
    num_damage_tokens: int | None
    spikes: tuple[SpikeRow, ...] | None
    """None where no healing loss was watched."""
    seconds: float | None

    @property
    def worst_layer(self) -> int | None:
        """The layer with the most own damage."""
        known = [(value, -layer) for layer, value in enumerate(self.own_damage) if value is not None]
        return -max(known)[1] if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextWave:
    """What is to come after the last wave that was made."""

    fraction: float | None
    """None: no other wave."""
    healing_factor: float
    reason: str
    forecast: ForecastRow | None


def read_evidence(notes: Mapping[str, Any]) -> WaveEvidence:
    """Return what a wave's notes say; older runs noted less."""
    damage = notes.get("damage_by_layer") or {}
    rise, spikes = notes.get("step_rise"), notes.get("spikes")
    return WaveEvidence(
        fraction=notes.get("fraction"),
        healing_factor=notes.get("healing_factor"),
        plan_reason=str(notes.get("plan_reason") or ""),
        forecast=read_forecast(notes.get("forecast")),
        step_rise=rise,
        cost=math.log1p(rise) if rise is not None and rise > -1 else None,
        own_damage=tuple(damage.get("own") or ()),
        propagated_damage=tuple(damage.get("propagated") or ()),
        num_damage_tokens=damage.get("num_tokens"),
        spikes=None if spikes is None else tuple(_spike(spike) for spike in spikes),
        seconds=notes.get("seconds"),
    )


def read_next(notes: Mapping[str, Any]) -> NextWave | None:
    """Return what the newest wave noted of the one to come; None if it noted nothing."""
    told = notes.get("next_wave")
    if not told:
        return None
    return NextWave(
        fraction=told.get("fraction"),
        healing_factor=float(told.get("healing_factor") or 1.0),
        reason=str(told.get("reason") or ""),
        forecast=read_forecast(told.get("forecast")),
    )


def read_forecast(told: Mapping[str, Any] | None) -> ForecastRow | None:
    """Return a forecast as a wave noted it."""
    return None if not told else ForecastRow(**{name: told[name] for name in ForecastRow.__slots__})


def damage_grid(rows: Sequence[tuple[str, Sequence[float | None]]]) -> LinearGrid | None:
    """Return damage by layer, one row a wave; None if no wave measured it."""
    known = [(name, values) for name, values in rows if any(value is not None for value in values)]
    if not known:
        return None
    num_layers = max(len(values) for _, values in known)
    return LinearGrid(
        kinds=tuple(name for name, _ in known),
        layers=tuple(range(num_layers)),
        values=tuple(tuple(values) + (None,) * (num_layers - len(values)) for _, values in known),
    )


def _spike(told: Mapping[str, Any]) -> SpikeRow:
    return SpikeRow(
        block=None if told["block"] is None else int(told["block"]),
        start=int(told["start"]),
        severity=str(told["severity"]),
        votes=tuple(told["votes"]),
    )
