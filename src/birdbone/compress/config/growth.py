"""How growth plates are found, and what is never shed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from birdbone.core import Settings

PlateKind = Literal["layer", "attention", "feed_forward", "kv_group", "query_head", "neuron"]
"""Structures that may become a growth plate."""


class ProtectConfig(Settings):
    """Critical pathways: what stays whatever its score."""

    first_blocks: int = Field(default=1, ge=0, le=1000)
    """Layers next to the embedding of which no block goes."""
    last_blocks: int = Field(default=1, ge=0, le=1000)
    """Layers next to the head of which no block goes."""
    sink_share: float = Field(default=0.9, gt=0, le=1)
    """A head that gives its window's first token at least this share of its attention is a sink, and stays."""
    protects_sinks: bool = False
    """Whether sink heads stay. They are always measured and named."""
    massive_ratio: float = Field(default=1000.0, ge=1)
    """A neuron whose largest activation is so many times the layer's median largest carries a massive activation."""
    also: tuple[str, ...] = ()
    """Names or globs of further structures that stay, such as `layers.0.*`."""


class GrowthConfig(Settings):
    """What is measured of each structure, and which become plates."""

    kinds: tuple[PlateKind, ...] = ("layer", "attention", "feed_forward", "kv_group", "neuron")
    """Which structures are looked at."""
    protect: ProtectConfig = ProtectConfig()
    """What stays."""
    ablate_windows: int = Field(default=2, ge=0, le=100_000)
    """Windows on which the loss of removing each block is measured; 0 leaves it unmeasured."""
    neurons_per_layer: float = Field(default=0.25, ge=0, le=1)
    """Share of a layer's neurons, the least important first, that become plates."""
