"""What a plan makes of a model, without making it: which structures go, what shapes are left, which types they get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import fsum

from birdbone.compress.config import BlockType, CutKind, PlanConfig, StoredType, StructuralPattern
from birdbone.compress.growth import DependencyGraph, Structure
from birdbone.compress.growth.costs import CutCosts
from birdbone.compress.growth.removal import close_structures
from birdbone.compress.plan.survey import BitFacts, CutFacts
from birdbone.compress.plan.techniques import Cut, Plan
from birdbone.compress.quantize import Allocation, TypeOption, allocate
from birdbone.compress.quantize.mixed import stored_bytes
from birdbone.compress.shedding.choosing import choose_structures
from birdbone.models.gguf import GgufType

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A model as a plan would leave it; names and paths are those of the dense model.

    Attributes:
        structures: that go, closed.
        cut_damages: by kind of cut, the sum of what its steps cost alone, in nats a token.
        shapes: of every tensor that is left, by its name in the state dict.
        types: of every linear that is left, by its path.
        embedding: type of the embedding and the head.
        bit_damage: estimated KL divergence a token by the types of what is left, in nats.
    """

    structures: tuple[Structure, ...]
    cut_damages: Mapping[CutKind, float]
    shapes: Mapping[str, Shape]
    types: Mapping[str, StoredType]
    embedding: BlockType
    bit_damage: float
    is_healed: bool

    def type_of(self, name: str, ends: frozenset[str]) -> GgufType:
        """Return the type that a tensor of the state dict is stored in; `ends` are the embedding and the head."""
        if len(self.shapes[name]) < 2:
            return GgufType.F32
        return GgufType[(self.embedding if name in ends else self.types[name.removesuffix(".weight")]).upper()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CutModel:
    structures: tuple[Structure, ...]
    damages: Mapping[CutKind, float]
    shapes: Mapping[str, Shape]


class Drafter:
    """Turns plans into layouts. What plans share (a cut, a target of bits) is worked out once."""

    def __init__(self, graph: DependencyGraph, cuts: CutFacts, bits: BitFacts, config: PlanConfig) -> None:
        self.graph = graph
        self.config = config
        self._cuts, self._bits = cuts, bits
        self._slots = {slot.path: slot for layer in graph.architecture.layers for slot in layer.linears}
        self._cut = lru_cache(maxsize=None)(self._cut_model)
        self._allocate = lru_cache(maxsize=None)(self._allocation)

    @cached_property
    def ends(self) -> frozenset[str]:
        """Names of the embedding and of a head that is not tied to it."""
        architecture = self.graph.architecture
        return frozenset((f"{architecture.embedding}.weight", f"{architecture.head}.weight")) & set(self.graph.shapes)

    @cached_property
    def bounds_of_bits(self) -> tuple[float, float]:
        """Bits a weight of the smallest and of the largest types: no lower target can be met, no higher one is."""
        sizes = [[stored_bytes(slot, kind) for kind in self._bits.damages[path]] for path, slot in self._slots.items()]
        num_weights = sum(slot.out_features * slot.in_features for slot in self._slots.values())
        return 8 * sum(map(min, sizes)) / num_weights, 8 * sum(map(max, sizes)) / num_weights

    def draft(self, plan: Plan) -> Layout:
        """Return what a plan makes of the model.

        Raises:
            ShareOutOfReachError: so much cannot go.
            BitsBudgetError: the smallest types take more bits than the plan allows.
        """
        cut = self._cut(plan.cuts)
        types: Mapping[str, StoredType] = dict.fromkeys(self._slots, "f16")
        embedding: BlockType = "f16"
        if plan.bits is not None:
            types, embedding = self._allocate(plan.bits.bits_per_weight).types, plan.bits.embedding
        left = {path: self._fitting(cut, path, kind) for path, kind in types.items() if f"{path}.weight" in cut.shapes}
        return Layout(
            structures=cut.structures,
            cut_damages=cut.damages,
            shapes=cut.shapes,
            types=left,
            embedding=embedding,
            bit_damage=fsum(self._damage(cut, path, kind) for path, kind in left.items()),
            is_healed=plan.heal is not None,
        )

    def _cut_model(self, cuts: tuple[Cut, ...]) -> _CutModel:
        gone: list[Structure] = []
        damages: dict[CutKind, float] = {}
        for cut in cuts:
            pattern = StructuralPattern(kind=cut.pattern, share=cut.share)
            costs = _without_layers(self._cuts.costs, {found.layer for found in gone if found.kind == "layer"})
            choice = choose_structures(self.graph, pattern, costs, self._cuts.protected)
            gone += choice.structures
            damages[cut.pattern] = max(0.0, choice.damage or 0.0)
        closed = close_structures(self.graph, gone) if gone else ()
        return _CutModel(structures=closed, damages=damages, shapes=self.graph.shapes_without(closed))

    def _allocation(self, bits: float) -> Allocation:
        options = {
            path: [
                TypeOption(type=kind, size_bytes=stored_bytes(self._slots[path], kind), damage=damage)
                for kind, damage in found.items()
            ]
            for path, found in self._bits.damages.items()
        }
        num_weights = sum(slot.out_features * slot.in_features for slot in self._slots.values())
        return allocate(options, max_bytes=int(bits * num_weights / 8))

    def _fitting(self, cut: _CutModel, path: str, kind: StoredType) -> StoredType:
        """Return the type, or `f16` where its blocks do not divide the width that is left."""
        width = cut.shapes[f"{path}.weight"][1]
        return kind if width % GgufType[kind.upper()].block_size == 0 else "f16"

    def _damage(self, cut: _CutModel, path: str, kind: StoredType) -> float:
        slot, (rows, columns) = self._slots[path], cut.shapes[f"{path}.weight"]
        share = rows * columns / (slot.out_features * slot.in_features)
        return share * self._bits.damages[path].get(kind, 0.0)


def _without_layers(costs: CutCosts, layers: set[int | None]) -> CutCosts:
    if not layers:
        return costs
    return replace(
        costs,
        blocks={found: rise for found, rise in costs.blocks.items() if found.layer not in layers},
        orders={key: order for key, order in costs.orders.items() if key[0] not in layers},
    )
