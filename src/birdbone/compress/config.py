"""Settings of the craft. Free of torch, so that a recipe is checked whole before anything heavy is loaded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from birdbone.core import Settings

FIRST_TOKEN_SHARE = 0.1
"""Weight of a window's first token, the attention sink, beside that of all its other tokens."""


class WandaConfig(Settings):
    """Score = |weight| times the root mean square of its input."""

    kind: Literal["wanda"] = "wanda"


class MagnitudeConfig(Settings):
    """Score = |weight|."""

    kind: Literal["magnitude"] = "magnitude"


ImportanceConfig = WandaConfig | MagnitudeConfig


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
    """Optimiser steps a wave, spread evenly over the blocks; 0 leaves healing out."""
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


class StopLossConfig(Settings):
    """When waves are undone and when they end."""

    max_rise: float = Field(default=0.03, gt=0, le=1000)
    """Rise of perplexity over the last good state beyond which a wave is not good."""
    patience: int = Field(default=2, ge=1, le=200)
    """Waves in a row that may be not good; then all of them are undone and the waves end."""
    max_total_rise: float = Field(default=0.03, gt=0, le=1000)
    """Rise of perplexity over the dense model beyond which a wave is not good either."""


class ShedConfig(Settings):
    """How much goes in one wave, and from where."""

    fraction: float = Field(default=0.10, gt=0, le=0.10)
    """Share of a cluster's remaining weights that a wave sheds."""
    cluster: Literal["linear"] = "linear"
    """What is thinned evenly: each linear's rows."""


LinearRole = Literal["q", "k", "v", "qkv", "o", "gate", "up", "gate_up", "down"]
"""What a linear does in its block, as `birdbone.models` names it; a fused one has a role of its own."""

StoredType = Literal["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "f16"]
"""A tensor type of GGUF: bits a weight; `_1` adds a min to each block: half a bit more, and zero need not be on it."""

_EIGHT_BITS_OR_MORE: frozenset[StoredType] = frozenset({"q8_0", "f16"})


class QuantizeFormat(Settings):
    """Bits of each kind of tensor in the exported file."""

    linears: StoredType = "q4_0"
    """The decoder's linears."""
    by_role: dict[LinearRole, StoredType] = Field(default_factory=dict)
    """Linears that are stored otherwise, by role: q, k, v, o, gate, up, down; where fused, qkv and gate_up."""
    embedding: StoredType = "q5_0"
    """The embedding and the head."""

    @property
    def label(self) -> str:
        """The types of the linears, as a file's name may hold them."""
        return "-".join(dict.fromkeys((self.linears, *self.by_role.values())))

    @property
    def is_low_bit(self) -> bool:
        """Whether any linear gets fewer than 8 bits."""
        return not {self.linears, *self.by_role.values()} <= _EIGHT_BITS_OR_MORE

    @property
    def has_low_bits(self) -> bool:
        """Whether any tensor, the embedding included, gets fewer than 8 bits."""
        return self.is_low_bit or self.embedding not in _EIGHT_BITS_OR_MORE

    def type_of(self, role: str) -> StoredType:
        """Return the type of the linears of a role."""
        return next((kind for known, kind in self.by_role.items() if known == role), self.linears)


class RoundingConfig(Settings):
    """How weights get to the grid."""

    kind: Literal["nearest", "importance", "feedback"] = "feedback"
    """Plain; scales weighted by input power (imatrix); or with errors fed forward (GPTQ)."""
    damping: float = Field(default=0.01, ge=1e-6, le=1)
    """Share of the mean input power added to every input by `feedback`."""
    head_damping: float = Field(default=0.1, ge=1e-6, le=1)
    """The same for the head: a tied one is the embedding too, whose error the head's inputs do not know."""


class WavesConfig(Settings):
    """Prune, heal and judge in waves, until the stop-loss or `max_waves`."""

    max_waves: int = Field(default=8, ge=1, le=200)
    """Waves at most."""
    shed: ShedConfig = ShedConfig()
    """How much goes in one wave."""
    importance: ImportanceConfig = Field(default=WandaConfig(), discriminator="kind")
    """What goes first."""
    refit: RefitConfig = RefitConfig()
    """How the rest takes over its work."""
    heal: HealConfig = HealConfig()
    """How the model is mended after each wave."""
    regrow: RegrowConfig = RegrowConfig()
    """What a spike of the loss brings back."""
    stop_loss: StopLossConfig = StopLossConfig()
    """When waves are undone."""


class QuantizeConfig(Settings):
    """Fewer bits a weight."""

    format: QuantizeFormat = QuantizeFormat()
    """The type of each kind of tensor."""
    rounding: RoundingConfig = RoundingConfig()
    """How weights get to the grid."""


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
