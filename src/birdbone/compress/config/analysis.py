"""What is asked of a model's scores."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from birdbone.core import Settings

Share = Annotated[float, Field(gt=0, lt=1)]
"""A part of a whole, neither none nor all of it."""


class AnalysisConfig(Settings):
    """Which quantiles, shares and thresholds are told of each linear, block, role and of the model."""

    quantiles: tuple[Share, ...] = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    """Quantiles of the scores."""
    top_shares: tuple[Share, ...] = (0.01, 0.1, 0.25)
    """Top shares of the weights of which is told how much of all importance they hold, and how far metrics agree."""
    global_sparsities: tuple[Share, ...] = (0.3, 0.5, 0.7)
    """Sparsities of the model; of each place is told the sparsity that the one threshold for it gives there."""
    quantile_threshold: Share = 0.5
    """A threshold that drops this share of a place's weights."""
    importance_threshold: Share = 0.95
    """A threshold that keeps this share of a place's importance."""
    z_threshold: float = Field(default=-0.5, ge=-100, le=100)
    """A threshold this many standard deviations above the mean of a place's scores."""
    num_histogram_bins: int = Field(default=48, ge=2, le=1_000)
    """Bins of the histograms, evenly apart in the logarithm of the score."""
    num_sampled: int = Field(default=16_384, ge=100, le=100_000_000)
    """Weights of a linear that metrics are compared on, drawn at random; all of them where it has no more."""
    num_plotted: int = Field(default=2_000, ge=1, le=1_000_000)
    """Weights of the model whose ranks are kept to be plotted."""
