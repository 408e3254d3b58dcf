"""How much each cluster sheds, and how that is optimised."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from birdbone.core import Settings

Balance = Literal["layer", "model"]
"""Where the target must be met: in each layer, or in the model as a whole."""


class HealthWeights(Settings):
    """How much each sign of load counts; all in standard deviations over the clusters that are balanced together."""

    importance: float = Field(default=1.0, ge=-10, le=10)
    """Mean score of a weight of the cluster."""
    variance: float = Field(default=0.25, ge=-10, le=10)
    """Variance of its units' activations over tokens."""
    density: float = Field(default=0.25, ge=-10, le=10)
    """How evenly its units are used over tokens."""
    shed_so_far: float = Field(default=0.25, ge=-10, le=10)
    """Share of it that earlier waves took."""
    damage: float = Field(default=0.5, ge=-10, le=10)
    """Damage that it has taken so far, where that was measured."""


class ThresholdConfig(Settings):
    """Shares of weights that the clusters shed, by their health."""

    spread: float = Field(default=0.05, ge=0, le=1)
    """By how much the share falls for one standard deviation more of load."""
    low: float = Field(default=0.0, ge=0, le=1)
    """No cluster sheds a smaller share, but by a word of yours."""
    high: float = Field(default=0.95, ge=0, le=1)
    """No cluster sheds a larger share, but by a word of yours."""
    weights: HealthWeights = HealthWeights()
    """What counts as load."""
    balance: Balance = "layer"
    """Where the target is met."""
    overrides: dict[str, float] = Field(default_factory=dict)
    """Shares set by hand, by the cluster's name; the others make up for them."""

    @model_validator(mode="after")
    def _shares_are_shares(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        wrong = [name for name, share in self.overrides.items() if not 0 <= share <= 1]
        if wrong:
            raise ValueError(f"the override of {wrong[0]} is not between 0 and 1")
        return self


class TuneConfig(Settings):
    """The search for thresholds by the loss that they lead to."""

    objective: Literal["loss", "size-loss"] = "loss"
    """The loss at one size (TPE), or the front of size against loss (NSGA-II)."""
    num_trials: int = Field(default=32, ge=1, le=10_000)
    """Trials in all, those of an earlier session included."""
    patience: int = Field(default=16, ge=1, le=10_000)
    """Finished trials without a better loss after which the search ends."""
    min_gain: float = Field(default=1e-4, ge=0, le=10)
    """Nats a token that count as better."""
    num_startup_trials: int = Field(default=8, ge=1, le=1000)
    """Trials before the search models the loss, and before any trial is cut short."""
    max_spread: float = Field(default=0.2, gt=0, le=1)
    """The widest spread that is tried."""
    max_target_shift: float = Field(default=0.2, ge=0, le=1)
    """By how much the share shed may lie above or below the target where size is searched too."""
    seed: int = Field(default=0, ge=0)
    """Of the search."""
