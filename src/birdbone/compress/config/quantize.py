"""Bits a weight, and how weights get to the grid."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from birdbone.core import Settings

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


class QuantizeConfig(Settings):
    """Fewer bits a weight."""

    format: QuantizeFormat = QuantizeFormat()
    """The type of each kind of tensor."""
    rounding: RoundingConfig = RoundingConfig()
    """How weights get to the grid."""
