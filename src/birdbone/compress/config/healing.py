"""How a model is mended after it lost weights: refit, healing, regrowth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field

from birdbone.compress.config.quantize import LinearRole
from birdbone.core import Settings


class RefitConfig(Settings):
    """Least-squares refit of the surviving weights to the dense layer's output."""

    num_iterations: int = Field(default=20, ge=1, le=1000)
    """Conjugate-gradient steps a linear."""
    damping: float = Field(default=0.01, ge=1e-6, le=1)
    """Share of the mean input power that is added to every input."""


class HealingSteps(Settings):
    """What every way of healing is told."""

    num_steps: int = Field(default=300, ge=0, le=100_000)
    """Optimiser steps a wave; 0 leaves healing out."""
    num_windows: int = Field(default=16, ge=1, le=1_000_000)
    """Healing windows that a wave draws."""
    batch_size: int = Field(default=2, ge=1, le=65_536)
    """Windows a step."""
    learning_rate: float = Field(default=1e-4, gt=0, le=0.1)
    """Peak rate of Adam; falls to a tenth over the steps."""


class BlockwiseConfig(HealingSteps):
    """Block-wise healing: each decoder block learns to give the dense model's outputs, pruned weights held at zero."""

    kind: Literal["blockwise"] = "blockwise"
    intensity: Literal["even", "severity"] = "even"
    """How the steps are spread: the same for each block, or more for the blocks that the wave hurt more."""


class WholeModelHealing(HealingSteps):
    """Healing by what the whole model predicts, undone where it does not help on windows held back from it."""

    num_windows: int = Field(default=34, ge=2, le=1_000_000)
    """Healing windows that a wave draws, those that decide included."""
    distill_share: float = Field(default=1.0, ge=0, le=1)
    """Share of the loss that is the divergence from the dense model; the rest is the text's next token."""
    num_deciding_windows: int = Field(default=2, ge=1, le=100_000)
    """Windows that it does not learn from, on which the loss must fall for healing to be kept."""
    num_warmup_steps: int = Field(default=2, ge=0, le=100_000)
    """Steps in which the rate rises."""


class DistillConfig(WholeModelHealing):
    """Distillation: every weight of the decoder learns from the dense model's predictions, pruned ones held at zero."""

    kind: Literal["distill"] = "distill"
    num_steps: int = Field(default=32, ge=0, le=100_000)
    """Optimiser steps a wave; 0 leaves healing out."""
    learning_rate: float = Field(default=2e-4, gt=0, le=0.1)
    """Peak rate of Adam; falls to a tenth over the steps."""


class AdapterHealing(WholeModelHealing):
    """Healing by low-rank updates beside frozen weights, masked as these are, so that merging revives no zero."""

    learning_rate: float = Field(default=1e-3, gt=0, le=0.1)
    """Peak rate of Adam; falls to a tenth over the steps."""
    rank: int = Field(default=8, ge=1, le=4096)
    """Rank of each update; with `intensity: severity` the mean over layers."""
    alpha: float = Field(default=16.0, gt=0, le=65_536)
    """The update counts alpha / rank."""
    roles: tuple[LinearRole, ...] = get_args(LinearRole)
    """Linears that get an update, by what they do; roles that the model lacks are passed over."""
    intensity: Literal["even", "severity"] = "even"
    """How the ranks are spread: the same for each layer, or more for the layers that the wave hurt more."""
    should_train_norms: bool = False
    """Let the norms and biases learn too, as in PERP."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Of the factors that updates begin with."""


class LoraConfig(AdapterHealing):
    """Masked LoRA: low-rank updates beside the weights as they are."""

    kind: Literal["lora"] = "lora"


class QloraConfig(AdapterHealing):
    """Masked QLoRA: low-rank updates learned beside weights that are held in 4 bits."""

    kind: Literal["qlora"] = "qlora"
    base: Literal["nf4", "q4_0"] = "nf4"
    """The 4 bits: NormalFloat, as in QLoRA, or the grid of GGUF's Q4_0."""
    block_size: int = Field(default=64, ge=2, le=65_536, multiple_of=2)
    """Weights that share a scale, for `nf4`; an even number."""
    should_quantize_scales: bool = True
    """Hold the scales of `nf4` in 8 bits."""
    merges_onto: Literal["float", "base"] = "float"
    """What the updates are added to at the end: the weights from before they were rounded, or the rounded ones."""


HealConfig = BlockwiseConfig | DistillConfig | LoraConfig | QloraConfig
"""Settings of one way of healing; `kind` tells which."""


def heal_by_blocks_unless_named(value: Any) -> Any:
    """Return settings of healing with `kind: blockwise` where they name none, for a validator of raw values."""
    return {"kind": "blockwise", **value} if isinstance(value, Mapping) else value


class RegrowConfig(Settings):
    """What a loss spike lets come back."""

    spike: float = Field(default=0.03, gt=0, le=1000)
    """Rise of perplexity over the last good state that counts as a spike."""
    fraction: float = Field(default=0.05, ge=0, le=0.05)
    """Share of a cluster's pruned weights that may come back."""
    num_windows: int = Field(default=2, ge=1, le=1_000_000)
    """Healing windows behind the gradient that chooses them."""
