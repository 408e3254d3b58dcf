"""How large each wave is, how often weights go, and what ends the waves at once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from birdbone.core import Settings


class FixedControl(Settings):
    """Every wave sheds `shed.fraction`; the first one that the stop-loss undoes ends the waves."""

    kind: Literal["fixed"] = "fixed"


class AdaptiveControl(Settings):
    """Begin small, grow while waves are stable, and try again with less after a wave that was undone."""

    kind: Literal["adaptive"] = "adaptive"
    start_fraction: float = Field(default=0.03, gt=0, le=0.10)
    """What the first wave sheds; at most `shed.fraction`."""
    min_fraction: float = Field(default=0.005, gt=0, le=0.10)
    """What a wave sheds at least; an undone wave of that size ends the waves."""
    growth: float = Field(default=1.5, gt=1, le=10)
    """Factor after enough stable waves in a row, up to `shed.fraction`."""
    stable_waves: int = Field(default=1, ge=1, le=100)
    """Stable waves in a row before a wave grows."""
    margin: float = Field(default=0.5, gt=0, le=1)
    """Share of the limits of the stop-loss within which a good wave is stable."""
    back_off: float = Field(default=0.5, gt=0, lt=1)
    """Factor after an undone wave; its power after several in a row."""
    max_back_offs: int = Field(default=3, ge=1, le=100)
    """Undone waves in a row that end the waves."""
    max_healing_factor: float = Field(default=4.0, ge=1, le=100)
    """Healing steps a wave may have at most, as a multiple of `heal.num_steps`: doubled by each undone wave in a row,
    halved by each good one, so that weights go more seldom for each step of healing."""


ControlConfig = FixedControl | AdaptiveControl


class EmergencyConfig(Settings):
    """What ends the waves at once, whatever the control. A wave beyond the limits of the stop-loss is then undone."""

    max_rise: float = Field(default=1.0, gt=0, le=1000)
    """Rise of perplexity over the last good state; a perplexity that is not finite always ends the waves."""
    max_seconds: float | None = Field(default=None, gt=0, le=1e9)
    """Seconds that all waves may take together."""
    min_available_bytes: int | None = Field(default=None, ge=0)
    """Memory that has to be available on the machine after a wave."""
