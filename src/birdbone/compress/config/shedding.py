"""What is shed: which pattern, how much, and how fast."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from birdbone.compress.config.growth import ProtectConfig
from birdbone.core import Settings

StructuralKind = Literal["neuron", "head", "kv_group", "layer", "attention", "feed_forward"]


class UnstructuredPattern(Settings):
    """Single weights, evenly from each row."""

    kind: Literal["unstructured"] = "unstructured"
    share: float = Field(default=0.5, ge=0, lt=1)
    """Share of each row's weights that goes."""


class NOfMPattern(Settings):
    """Of every `group` neighbours in a row, `num_kept` stay: 2:4, 4:8 and the like."""

    kind: Literal["n:m"] = "n:m"
    num_kept: int = Field(default=2, ge=1)
    """Weights of a group that stay."""
    group: int = Field(default=4, ge=2)
    """Neighbours that form a group."""

    @model_validator(mode="after")
    def _some_go(self) -> NOfMPattern:
        if self.num_kept >= self.group:
            raise ValueError(f"num_kept must be below group: {self.num_kept}:{self.group} sheds nothing")
        return self


class BlockPattern(Settings):
    """Rectangles of a matrix."""

    kind: Literal["block"] = "block"
    rows: int = Field(default=32, ge=1)
    """Rows of a rectangle."""
    columns: int = Field(default=32, ge=1)
    """Columns of a rectangle."""
    share: float = Field(default=0.5, ge=0, lt=1)
    """Share of a matrix's rectangles that goes."""


class StructuralPattern(Settings):
    """Structures of one kind, those that cost least first."""

    kind: StructuralKind
    share: float = Field(gt=0, lt=1)
    """Share of the decoder's parameters that goes."""
    width_multiple: int = Field(default=32, ge=1)
    """A feed-forward width is a multiple of it: 32 for GGUF's small blocks, 256 for K-quants."""


class TargetedPattern(Settings):
    """The structures that are named."""

    kind: Literal["targeted"] = "targeted"
    structures: tuple[str, ...] = Field(min_length=1)
    """Names or globs, such as `layers.12.attention` or `layers.2?.kv_group.0`."""


class AdaptivePattern(Settings):
    """Structures of several kinds, by damage for each byte that they save."""

    kind: Literal["adaptive"] = "adaptive"
    share: float = Field(gt=0, lt=1)
    """Share of the decoder's parameters that goes."""
    kinds: tuple[StructuralKind, ...] = ("neuron", "attention", "feed_forward")
    """What it may choose from."""
    width_multiple: int = Field(default=32, ge=1)
    """As in the structural patterns."""


ShedPattern = Annotated[
    UnstructuredPattern | NOfMPattern | BlockPattern | StructuralPattern | TargetedPattern | AdaptivePattern,
    Field(discriminator="kind"),
]
"""One of the patterns."""


class ScheduleConfig(Settings):
    """How the share that is gone rises from wave to wave."""

    kind: Literal["cubic", "linear", "constant"] = "cubic"
    """Fast first and slow at the end; evenly; or all at once."""
    num_waves: int = Field(default=1, ge=1, le=1000)
    """Waves until the whole share is gone."""
    max_step: float = Field(default=1.0, gt=0, le=1)
    """Share that may go in one wave, whatever the curve says; what is held back goes in later waves."""


class StructuralShedConfig(Settings):
    """One structural cut, with all that it needs."""

    pattern: ShedPattern
    """What goes."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How fast."""
    protect: ProtectConfig = ProtectConfig()
    """What stays."""
    refits: bool = True
    """Whether what stays takes over the work of what went, by exact least squares."""
    damping: float = Field(default=0.01, ge=1e-6, le=1)
    """Share of the mean input power added to every input in the refit."""
