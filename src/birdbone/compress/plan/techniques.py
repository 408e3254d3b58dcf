"""A plan: techniques in the order in which they are carried out, as plain data. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, assert_never

from birdbone.compress.config import BlockType, CutKind
from birdbone.compress.errors import PlanOrderError
from birdbone.core import digest_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Structures of one kind go, those that cost least first; what stays is refitted."""

    pattern: CutKind
    share: float
    """Share of the decoder's parameters."""
    kind: Literal["cut"] = "cut"

    @property
    def words(self) -> str:
        """The technique for people."""
        return f"cut {100 * self.share:.3g} % by {self.pattern.replace('_', ' ')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zeros:
    """Weights become zero; shapes stay."""

    share: float
    """Share of the linears' weights."""
    kind: Literal["zeros"] = "zeros"

    @property
    def words(self) -> str:
        """The technique for people."""
        return f"{100 * self.share:.3g} % zeros"


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """Linears become the product of two thin factors."""

    byte_share: float
    """Bytes of the factors as a share of the dense weight's."""
    kind: Literal["low_rank"] = "low_rank"

    @property
    def words(self) -> str:
        """The technique for people."""
        return f"low rank, {100 * self.byte_share:.3g} % of the bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal:
    """Each block learns to give the outputs of the dense model's."""

    num_steps: int
    kind: Literal["heal"] = "heal"

    @property
    def words(self) -> str:
        """The technique for people."""
        return f"heal {self.num_steps} steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bits:
    """Linears get fewer bits a weight, each as many as its damage deserves."""

    bits_per_weight: float
    embedding: BlockType
    """Type of the embedding and the head."""
    kind: Literal["bits"] = "bits"

    @property
    def words(self) -> str:
        """The technique for people."""
        return f"{self.bits_per_weight:g} bits, embedding {self.embedding}"


Step = Cut | Zeros | LowRank | Heal | Bits
"""One technique with its settings."""

_KINDS: Mapping[str, type[Step]] = {"cut": Cut, "zeros": Zeros, "low_rank": LowRank, "heal": Heal, "bits": Bits}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Techniques in their order. An empty plan leaves the model as it is, in F16."""

    steps: tuple[Step, ...] = ()

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """The cuts, in their order."""
        return tuple(step for step in self.steps if isinstance(step, Cut))

    @property
    def heal(self) -> Heal | None:
        """The healing, if there is any."""
        return next((step for step in self.steps if isinstance(step, Heal)), None)

    @property
    def bits(self) -> Bits | None:
        """The rounding, if there is any."""
        return next((step for step in self.steps if isinstance(step, Bits)), None)

    @property
    def words(self) -> str:
        """The plan for people."""
        return "; ".join(step.words for step in self.steps) or "as it is, in F16"

    @property
    def digest(self) -> str:
        """Name of the plan."""
        return digest_json(self.to_data())

    def to_data(self) -> list[dict[str, Any]]:
        """Return the steps as plain data."""
        return [_step_data(step) for step in self.steps]


def plan_from_data(data: Sequence[Mapping[str, Any]]) -> Plan:
    """Return the plan that `Plan.to_data` described.

    Raises:
        PlanOrderError: a step is none.
    """
    try:
        return Plan(steps=tuple(_KINDS[str(step["kind"])](**step) for step in data))
    except (KeyError, TypeError) as error:
        raise PlanOrderError(f"This is no plan: {error}.") from error


def _step_data(step: Step) -> dict[str, Any]:
    match step:
        case Cut() | Zeros() | LowRank() | Heal() | Bits():
            return asdict(step)
        case _:
            assert_never(step)
