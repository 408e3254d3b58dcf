"""Pruning in one pass: which pattern of zeros, how it is spread over the layers, and how the rest takes over."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from birdbone.compress.config.healing import RefitConfig
from birdbone.core import Settings


class UnstructuredPattern(Settings):
    """Zeros anywhere in a row, equally many in each row of a linear."""

    kind: Literal["unstructured"] = "unstructured"
    sparsity: float = Field(default=0.5, gt=0, lt=1)
    """Share of all linears' weights that becomes zero."""


class NOfMPattern(Settings):
    """At most `num_kept` weights other than zero of every `group` neighbours in a row."""

    kind: Literal["n_of_m"] = "n_of_m"
    num_kept: int = Field(default=2, ge=1)
    """N."""
    group: int = Field(default=4, ge=2, le=256)
    """M; must divide every linear's width."""

    @model_validator(mode="after")
    def _keeps_fewer_than_all(self) -> NOfMPattern:
        if self.num_kept >= self.group:
            raise ValueError(f"{self.num_kept} of {self.group} would drop nothing.")
        return self


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

    pattern: UnstructuredPattern | NOfMPattern = Field(default=UnstructuredPattern(), discriminator="kind")
    """Which zeros."""
    budget: EvenBudget | LossBudget = Field(default=LossBudget(), discriminator="kind")
    """How they are spread over the linears; an N:M pattern leaves no choice."""
    num_rounds: int = Field(default=3, ge=0, le=100)
    """Rounds in which masks and values are chosen together; 0 takes Wanda's mask."""
    penalty: float = Field(default=0.5, gt=0, le=100)
    """Pull of the pattern beside the outputs' in these rounds."""
    refit: RefitConfig = RefitConfig(num_iterations=6)
    """How exactly the survivors take over."""
