"""Settings of judging. Free of torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from birdbone.core import Settings

Comparison = Literal["at_most", "at_least", "at_most_ratio", "at_least_ratio"]
"""How a figure is compared: with the limit itself, or its ratio to the baseline's figure with the limit."""


Stage = Literal["waves", "quantize", "judge"]
"""A stage of a run whose own loss can have a floor."""


class GateRule(Settings):
    """One rule of a gate: a limit on one measurement."""

    measurement: str = Field(min_length=1)
    """Name of the measurement that is judged."""
    kind: Comparison
    """`at_most` and `at_least` judge the figure; `at_most_ratio` and `at_least_ratio` its ratio to the baseline's."""
    limit: float = Field(allow_inf_nan=False)
    """Beyond this the rule fails."""
    warn: float | None = Field(default=None, allow_inf_nan=False)
    """Beyond this, and within `limit`, the rule warns."""
    judged_by: Literal["value", "interval"] = "value"
    """`interval` judges the worse end of the 95 % interval; for a ratio, judge a measured, paired ratio."""
    accepts_estimates: bool = False
    """Whether an estimated figure counts as measured."""
    name: str | None = Field(default=None, min_length=1)
    """What the rule is called; its measurement unless given."""

    @property
    def label(self) -> str:
        """Its name."""
        return self.name or self.measurement

    @property
    def is_upper(self) -> bool:
        """Whether small figures are good."""
        return self.kind in ("at_most", "at_most_ratio")

    @property
    def is_ratio(self) -> bool:
        """Whether the figure is divided by the baseline's."""
        return self.kind in ("at_most_ratio", "at_least_ratio")

    @model_validator(mode="after")
    def _is_sensible(self) -> Self:
        if self.warn is not None and (self.warn > self.limit if self.is_upper else self.warn < self.limit):
            raise ValueError(f"warn ({self.warn}) must lie on the good side of limit ({self.limit})")
        if self.is_ratio and self.judged_by == "interval":
            raise ValueError("a ratio of two figures has no interval here: judge a measured, paired ratio by `at_most`")
        return self


class RetryPolicy(Settings):
    """Go back to the stage that failed, with the recommended settings changed."""

    kind: Literal["retry"]
    max_tries: int = Field(default=1, ge=1, le=20)
    """How often; then, or where no setting can go further, the run falls back."""


class FallBackPolicy(Settings):
    """Go on with the next good state, and with the last one in 16 bits where none passes."""

    kind: Literal["fall_back"] = "fall_back"


class AbortPolicy(Settings):
    """Stop: nothing is exported until the failed rules are overridden and the run is resumed."""

    kind: Literal["abort"]


class EvaluateConfig(Settings):
    """How models are judged."""

    batch_size: int = Field(default=4, ge=1)
    """Windows that go through the model at once."""
    num_resamples: int = Field(default=2000, ge=200)
    """Bootstrap resamples behind every interval."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap."""
    gate: tuple[GateRule, ...] = (GateRule(measurement="perplexity_ratio", kind="at_most", limit=1.03, warn=1.02),)
    """Rules that a candidate has to pass."""
    stages: dict[Stage, tuple[GateRule, ...]] = Field(default_factory=dict)
    """Floors of single stages: what each may lose of what it began with."""
    cumulative: tuple[GateRule, ...] = ()
    """Rules against the first model, beside those of `gate`: small losses add up."""
    on_fail: RetryPolicy | FallBackPolicy | AbortPolicy = Field(default=FallBackPolicy(), discriminator="kind")
    """What the run does when its gate fails: `retry`, `fall_back` or `abort`."""
