"""Low-rank corrections."""

from __future__ import annotations

from typing import Literal

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


class RankConfig(Settings):
    """What a rank is chosen by; the smallest one that does it."""

    kind: Literal["energy", "loss", "bytes"] = "energy"
    """By the share of the energy that it keeps; by the estimated rise of the loss; by the bytes of its factors."""
    energy: float = Field(default=0.95, gt=0, le=1)
    """Share of the squared singular values that `energy` keeps."""
    max_damage: float = Field(default=0.001, gt=0, le=1000)
    """Estimated KL divergence a token, in nats, that `loss` allows one linear."""
    byte_share: float = Field(default=0.5, gt=0, le=1)
    """Bytes of the factors as a share of the dense weight's, for `bytes`, which takes the largest rank within it."""


class FactorConfig(Settings):
    """How a weight is written as the product of two thin ones."""

    kind: Literal["plain", "scaled", "whitened", "fisher", "nonnegative"] = "whitened"
    """Plain SVD; with inputs scaled by their power (ASVD); whitened by the Gram matrix (SVD-LLM), which is the best for
    the output; with outputs weighted by their Fisher information too; or factors of one sign."""
    rank: RankConfig = RankConfig()
    """What the rank is chosen by."""
    damping: float = Field(default=1e-4, ge=1e-8, le=1)
    """Share of the mean input power added to every input before whitening."""
