"""How a model is mended after it lost weights: refit, healing, regrowth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from birdbone.core import Settings


class RefitConfig(Settings):
    """Least-squares refit of the surviving weights to the dense layer's output."""

    num_iterations: int = Field(default=20, ge=1, le=1000)
    """Conjugate-gradient steps a linear."""
    damping: float = Field(default=0.01, ge=1e-6, le=1)
    """Share of the mean input power that is added to every input."""


class HealConfig(Settings):
    """Block-wise healing: each decoder block learns to give the dense model's outputs, pruned weights held at zero."""

    kind: Literal["blockwise"] = "blockwise"
    num_steps: int = Field(default=300, ge=0, le=100_000)
    """Optimiser steps a wave, spread over the blocks; 0 leaves healing out."""
    intensity: Literal["even", "severity"] = "even"
    """How the steps are spread: the same for each block, or more for the blocks that the wave hurt more."""
    num_windows: int = Field(default=16, ge=1, le=1_000_000)
    """Healing windows that a wave draws."""
    batch_size: int = Field(default=2, ge=1, le=65_536)
    """Windows a step."""
    learning_rate: float = Field(default=1e-4, gt=0, le=0.1)
    """Peak rate of Adam; falls to a tenth over the block's steps."""


class RegrowConfig(Settings):
    """What a loss spike lets come back."""

    spike: float = Field(default=0.03, gt=0, le=1000)
    """Rise of perplexity over the last good state that counts as a spike."""
    fraction: float = Field(default=0.05, ge=0, le=0.05)
    """Share of a cluster's pruned weights that may come back."""
    num_windows: int = Field(default=2, ge=1, le=1_000_000)
    """Healing windows behind the gradient that chooses them."""
