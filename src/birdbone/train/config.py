"""Settings of the training loop. Free of torch."""

from __future__ import annotations

from pydantic import Field

from birdbone.core import Settings


class FitConfig(Settings):
    """Adam with a cosine schedule."""

    num_steps: int = Field(ge=0, le=100_000_000)
    """Optimiser steps."""
    learning_rate: float = Field(default=1e-4, gt=0, le=1e6)
    """Peak rate."""
    num_warmup_steps: int = Field(default=0, ge=0, le=100_000_000)
    """Steps in which the rate rises to its peak."""
    final_fraction: float = Field(default=0.1, ge=0, le=1)
    """Share of the peak rate that is left at the last step."""
    max_gradient_norm: float = Field(default=1.0, gt=0, le=1e30)
    """Gradients are scaled down to this norm."""
    max_restarts: int = Field(default=2, ge=0, le=100)
    """How often a diverged fit starts again from where it began, each time at half the rate."""
