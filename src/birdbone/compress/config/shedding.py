"""What is shed: which pattern, how much, and how fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from birdbone.compress.config.growth import ProtectConfig
from birdbone.compress.config.healing import BlockwiseConfig, HealConfig, heal_by_blocks_unless_named
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
    share: float = Field(default=0.1, gt=0, lt=1)
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
    share: float = Field(default=0.1, gt=0, lt=1)
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


StructuresPattern = Annotated[StructuralPattern | TargetedPattern | AdaptivePattern, Field(discriminator="kind")]
"""A pattern that takes structures out, so that the model itself is smaller."""


class ShedStructuresConfig(Settings):
    """Structures taken out in cuts, each refitted, healed and judged before the next."""

    pattern: StructuresPattern = AdaptivePattern()
    """Which structures, and the share of the dense decoder's parameters that is gone after the last cut."""
    schedule: ScheduleConfig = ScheduleConfig()
    """In how many cuts, and how much each takes; a targeted pattern takes one."""
    protect: ProtectConfig = ProtectConfig()
    """What stays whatever its score."""
    num_windows: int = Field(default=16, ge=1, le=1_000_000)
    """Calibration windows that structures are ordered on, and that what stays is refitted on."""
    num_ablate_windows: int = Field(default=1, ge=1, le=100_000)
    """Calibration windows on which the loss of taking each block out is measured."""
    damping: float = Field(default=0.01, ge=1e-6, le=1)
    """Share of the mean input power that the refit adds to every input."""
    heal: HealConfig = Field(default=BlockwiseConfig(), discriminator="kind")
    """How each cut is healed against the dense model; where whole layers went, not block by block."""
    max_rise: float = Field(default=0.03, gt=0, le=1000)
    """Rise of perplexity over the dense model, and of one cut, beyond which a cut is undone and no other follows."""

    _name_heal = field_validator("heal", mode="before")(heal_by_blocks_unless_named)

    @field_validator("pattern", mode="before")
    @classmethod
    def _adaptive_unless_named(cls, value: Any) -> Any:
        return {"kind": "adaptive", **value} if isinstance(value, Mapping) else value
