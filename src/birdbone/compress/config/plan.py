"""What a plan over several techniques may be made of, and how much is measured for it."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from birdbone.compress.config.quantize import BlockType, RoundingConfig
from birdbone.core import Settings

CutKind = Literal["layer", "kv_group", "neuron"]
"""Structures that a plan takes out, from the coarse to the fine."""

Target = Literal["cpu", "gpu"]
"""What a plan is made for: llama.cpp on the processor, or on a graphics card."""

ProfileName = Literal["edge", "mobile", "laptop", "server"]


class ProbeConfig(Settings):
    """How much is measured before anything is predicted."""

    num_ablation_windows: int = Field(default=1, ge=1, le=1000)
    """Calibration windows that each block's damage is measured on."""
    num_sensitivity_windows: int = Field(default=2, ge=1, le=1000)
    """Calibration windows behind the damage of bits."""
    num_turns: int = Field(default=11, ge=1, le=1000)
    """Timed turns of each file, each beside one of the reference."""
    num_decoded: int = Field(default=16, ge=2, le=65_536)
    """Tokens that a turn decodes, one after another, from an empty cache."""


class PlanConfig(Settings):
    """What plans are made of, and how they are searched."""

    cuts: tuple[CutKind, ...] = get_args(CutKind)
    """Structures that may go."""
    max_share: float = Field(default=0.2, gt=0, le=0.75)
    """Share of the decoder's parameters that may go by one kind of cut."""
    types: tuple[BlockType, ...] = get_args(BlockType)
    """Types that linears may have."""
    embeddings: tuple[BlockType, ...] = ("q8_0", "q5_0", "q4_0")
    """Types that the embedding and the head may have."""
    bits: tuple[float, ...] = (4.5, 4.6, 4.75, 5.0, 5.25, 5.5, 6.0, 6.5, 7.0, 8.5, 16.0)
    """Bits a weight that linears may have on average."""
    num_healing_steps: int = Field(default=120, ge=0, le=100_000)
    """Steps of healing block by block, where a plan heals; 0 leaves healing out."""
    rounding: RoundingConfig = RoundingConfig(kind="feedback", order="loudest_first")
    """How weights get to the grid, in probes and when a plan is carried out."""
    probes: ProbeConfig = ProbeConfig()
    """How much is measured."""
    max_rise: float = Field(default=0.7, gt=0, le=5)
    """Nats a token beyond which a plan is of no use; 0.7 doubles the perplexity."""
    num_trials: int = Field(default=600, ge=1, le=1_000_000)
    """Plans that the search looks at."""
    population: int = Field(default=40, ge=4, le=10_000)
    """Plans of a generation."""
    seed: int = Field(default=0, ge=0)
    """Of the search and of all that is drawn."""

    @model_validator(mode="after")
    def _require_choices(self) -> Self:
        if not self.types or not self.embeddings or not self.bits:
            raise ValueError("`types`, `embeddings` and `bits` name one choice at least.")
        if min(self.bits) <= 0 or sorted(set(self.bits)) != list(self.bits):
            raise ValueError("`bits` are above 0, in rising order, and none twice.")
        return self
