"""Low-rank corrections."""

from __future__ import annotations

from pydantic import Field

from birdbone.core import Settings


class LowRankConfig(Settings):
    """Low-rank correction of the block scales, learned block by block and merged into them."""

    rank: int = Field(default=4, ge=1, le=256)
    """Rank of the correction of each linear's scales."""
    num_steps: int = Field(default=16, ge=1, le=10_000)
    """Optimiser steps a block."""
    num_windows: int = Field(default=16, ge=1, le=1_000_000)
    """Healing windows that it learns on."""
    batch_size: int = Field(default=2, ge=1, le=65_536)
    """Windows a step."""
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    """Peak rate of Adam."""
