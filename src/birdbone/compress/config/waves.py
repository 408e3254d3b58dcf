"""Rounds of shedding, mending and judging, and when they end."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from birdbone.compress.config.control import AdaptiveControl, EmergencyConfig, FixedControl
from birdbone.compress.config.damage import DamageConfig
from birdbone.compress.config.healing import (
    BlockwiseConfig,
    HealConfig,
    RefitConfig,
    RegrowConfig,
    heal_by_blocks_unless_named,
)
from birdbone.compress.config.importance import ImportanceConfig, WandaConfig
from birdbone.core import Settings


class StopLossConfig(Settings):
    """When waves are undone and when they end."""

    max_rise: float = Field(default=0.03, gt=0, le=1000)
    """Rise of perplexity over the last good state beyond which a wave is not good."""
    patience: int = Field(default=2, ge=1, le=200)
    """Waves in a row that may be not good; then all of them are undone and the waves end."""
    max_total_rise: float = Field(default=0.03, gt=0, le=1000)
    """Rise of perplexity over the dense model beyond which a wave is not good either."""


class ShedConfig(Settings):
    """How much goes in one wave, and from where."""

    fraction: float = Field(default=0.10, gt=0, le=0.10)
    """Share of a cluster's remaining weights that a wave sheds."""
    cluster: Literal["linear", "biophase"] = "linear"
    """What is thinned evenly: each linear's rows, or the clusters of its neurons and heads, each by its own health."""


class WavesConfig(Settings):
    """Prune, heal and judge in waves, until the stop-loss or `max_waves`."""

    max_waves: int = Field(default=8, ge=1, le=200)
    """Waves at most."""
    shed: ShedConfig = ShedConfig()
    """How much goes in one wave."""
    importance: ImportanceConfig = Field(default=WandaConfig(), discriminator="kind")
    """What goes first."""
    refit: RefitConfig = RefitConfig()
    """How the rest takes over its work."""
    heal: HealConfig = Field(default=BlockwiseConfig(), discriminator="kind")
    """How the model is mended after each wave."""
    regrow: RegrowConfig = RegrowConfig()
    """What a spike of the loss brings back."""
    stop_loss: StopLossConfig = StopLossConfig()
    """When waves are undone."""
    control: FixedControl | AdaptiveControl = Field(default=FixedControl(), discriminator="kind")
    """How large each wave is."""
    emergency: EmergencyConfig = EmergencyConfig()
    """What ends the waves at once."""
    damage: DamageConfig = DamageConfig()
    """What is measured of each layer after a wave."""

    _name_heal = field_validator("heal", mode="before")(heal_by_blocks_unless_named)
