"""Bits a weight, and how weights get to the grid."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from birdbone.core import Settings

LinearRole = Literal["q", "k", "v", "qkv", "o", "gate", "up", "gate_up", "down"]
"""What a linear does in its block, as `birdbone.models` names it; a fused one has a role of its own."""

BlockType = Literal["q4_0", "iq4_nl", "q4_1", "q5_0", "q5_1", "q8_0", "f16"]
"""A tensor type whose blocks are 32 wide: bits a weight; `_1` adds a min to each block: half a bit more, and zero need
not be on it. `iq4_nl` has 4 bits in uneven steps, close near zero."""

SuperBlockType = Literal["q2_k", "q3_k", "iq3_s", "iq4_xs", "q4_k", "q5_k", "q6_k"]
"""A tensor type whose blocks are 256 wide and whose scales have scales; ggml's own encoder rounds to it."""

StoredType = Literal[BlockType, SuperBlockType]
"""A tensor type of GGUF."""

_EIGHT_BITS_OR_MORE: frozenset[StoredType] = frozenset({"q8_0", "f16"})


class AllocationConfig(Settings):
    """Each linear's type chosen under a target of bits a weight, by what its rounding would do to the predictions."""

    bits_per_weight: float = Field(default=4.6, gt=0, le=16)
    """Bits that the linears may take on average, scales and mins included. Never exceeded."""
    types: tuple[StoredType, ...] = get_args(BlockType)
    """The types to choose from; one whose blocks do not divide a linear's width is passed over for that linear. Those
    of 256 are left out unless named: feedback and descent do not reach into them."""
    num_windows: int = Field(default=4, ge=1, le=100_000)
    """Calibration windows behind the sensitivity of each linear's outputs."""
    num_measured: int = Field(default=2, ge=0, le=1000)
    """Linears of each role that are rounded alone and measured, to correct the estimates; 0 measures none."""
    seed: int = Field(default=0, ge=0)
    """Of the tokens that are drawn from the model itself for the Fisher information."""

    @model_validator(mode="after")
    def _require_types(self) -> Self:
        if not self.types or len(set(self.types)) != len(self.types):
            raise ValueError("`types` names one type at least, and none twice.")
        return self


class QuantizeFormat(Settings):
    """Bits of each kind of tensor in the exported file."""

    linears: StoredType = "q4_0"
    """The decoder's linears."""
    by_role: dict[LinearRole, StoredType] = Field(default_factory=dict)
    """Linears that are stored otherwise, by role: q, k, v, o, gate, up, down; where fused, qkv and gate_up."""
    embedding: StoredType = "q5_0"
    """The embedding and the head."""
    allocation: AllocationConfig | None = None
    """Types by a target of bits a weight, in place of `linears`; a role that `by_role` names keeps its type, whose
    bytes count towards the target."""

    @property
    def label(self) -> str:
        """The types of the linears, as a file's name may hold them."""
        chosen = self.linears if self.allocation is None else f"{self.allocation.bits_per_weight:g}bit"
        return "-".join(dict.fromkeys((chosen, *self.by_role.values())))

    @property
    def is_low_bit(self) -> bool:
        """Whether any linear gets fewer than 8 bits, or may get them from an allocation."""
        linears = {self.linears} if self.allocation is None else set(self.allocation.types)
        return not linears | set(self.by_role.values()) <= _EIGHT_BITS_OR_MORE

    @property
    def has_low_bits(self) -> bool:
        """Whether any tensor, the embedding included, gets fewer than 8 bits."""
        return self.is_low_bit or self.embedding not in _EIGHT_BITS_OR_MORE

    def type_of(self, role: str) -> StoredType:
        """Return the type of the linears of a role."""
        return next((kind for known, kind in self.by_role.items() if known == role), self.linears)


class RoundingConfig(Settings):
    """How weights get to the grid."""

    kind: Literal["nearest", "importance", "feedback", "descent"] = "feedback"
    """Plain; scales weighted by input power (imatrix); with errors fed forward (GPTQ); or that, then codes and scales
    in turns, each set to the best with the others held."""
    damping: float = Field(default=0.01, ge=1e-6, le=1)
    """Share of the mean input power added to every input by `feedback` and `descent`."""
    head_damping: float = Field(default=0.1, ge=1e-6, le=1)
    """The same for the head: a tied one is the embedding too, whose error the head's inputs do not know."""
    order: Literal["stored", "loudest_first"] = "stored"
    """Order in which `feedback` rounds inputs: as the file holds them, or by falling power on grids fitted before."""
    should_search_scales: bool = False
    """Try every candidate scale of a block with feedback, not to the nearest; for the order `stored`."""
    num_sweeps: int = Field(default=2, ge=0, le=100)
    """Rounds of scales and codes that `descent` makes."""
    num_learning_steps: int = Field(default=0, ge=0, le=100_000)
    """Steps a block that learn which way each weight rounds, from the dense block's output (AutoRound); 0: none."""
    learning_batch_size: int = Field(default=2, ge=1, le=65_536)
    """Windows a step."""

    @model_validator(mode="after")
    def _require_order(self) -> Self:
        if self.should_search_scales and self.order != "stored":
            raise ValueError("`should_search_scales` needs the order `stored`: other orders fit all scales before.")
        return self


class QuantizeConfig(Settings):
    """Fewer bits a weight."""

    format: QuantizeFormat = QuantizeFormat()
    """The type of each kind of tensor."""
    rounding: RoundingConfig = RoundingConfig()
    """How weights get to the grid."""
