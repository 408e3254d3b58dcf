"""How damage is measured, and what it is called."""

from __future__ import annotations

from pydantic import Field

from birdbone.core import Settings


class SeverityLimits(Settings):
    """Where each class of damage begins: what a layer's damage alone costs, in nats a token.

    It is the KL divergence from the dense model's predictions. A nat is what perplexity rises by on a log scale:
    0.01 is about 1 %, and 0.03 what the stop-loss lets pass.
    """

    mild: float = Field(default=0.001, ge=0, le=100)
    """Below it a layer is healthy; `calibrate_mild` measures it on variation that is known to be harmless."""
    moderate: float = Field(default=0.01, ge=0, le=100)
    """From here on damage is moderate."""
    severe: float = Field(default=0.03, ge=0, le=100)
    """From here on it is severe."""
    critical: float = Field(default=0.3, ge=0, le=100)
    """From here on, or where an output is not finite, it is critical."""


class IntegrityConfig(Settings):
    """What weights may not look like beside those of the dense model."""

    zero_share: float = Field(default=0.02, ge=0, le=1)
    """Share of a linear's rows that may become zero."""
    rank_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the dense effective rank that has to be left."""
    norm_factor: float = Field(default=2.0, gt=1, le=1e6)
    """Factor by which a linear's or a norm's size may grow or shrink."""
    turned_share: float = Field(default=0.02, ge=0, le=1)
    """Share of rows that may point elsewhere than they did (cosine below 0.5)."""


class DamageConfig(Settings):
    """What a wave looks at in each layer after it has been healed."""

    num_windows: int = Field(default=2, ge=0, le=1_000_000)
    """Healing windows that the layers are compared on; 0 leaves the comparison and forecasts of waves out."""
    batch_size: int = Field(default=2, ge=1, le=65_536)
    """Windows at once."""
