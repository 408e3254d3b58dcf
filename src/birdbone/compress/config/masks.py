"""Pruning in one pass: which pattern of zeros, how it is spread over the layers, and how the rest takes over."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from birdbone.compress.config.healing import RefitConfig
from birdbone.compress.config.shedding import BlockPattern, NOfMPattern, UnstructuredPattern
from birdbone.core import Settings

ZeroPattern = UnstructuredPattern | NOfMPattern | BlockPattern
"""Patterns that put zeros and keep every shape."""


class EvenBudget(Settings):
    """Every linear has the same sparsity."""

    kind: Literal["even"] = "even"


class LossBudget(Settings):
    """A linear has fewer zeros the more the loss would rise by them; the sum stays."""

    kind: Literal["loss"] = "loss"
    reach: float = Field(default=0.25, gt=0, lt=1)
    """How far a linear's sparsity may lie from the mean."""
    num_windows: int = Field(default=8, ge=1, le=1_000_000)
    """Calibration windows behind the gradients."""


class MaskConfig(Settings):
    """How a model is pruned block by block, without any training."""

    pattern: ZeroPattern = Field(default=UnstructuredPattern(), discriminator="kind")
    """Which zeros."""
    budget: EvenBudget | LossBudget = Field(default=LossBudget(), discriminator="kind")
    """How they are spread over the linears; only an unstructured pattern leaves a choice."""
    num_rounds: int = Field(default=4, ge=0, le=100)
    """Rounds in which masks and values are chosen together; 0 takes Wanda's mask."""
    penalty: float = Field(default=0.5, gt=0, le=100)
    """Pull of the pattern beside the outputs' in these rounds."""
    refit: RefitConfig = RefitConfig(num_iterations=3)
    """How exactly the survivors take over."""
    strip_width: int = Field(default=256, ge=1, le=1_000_000)
    """Inputs solved at once of a linear that has more than eight times as many; the others make up for their errors."""
