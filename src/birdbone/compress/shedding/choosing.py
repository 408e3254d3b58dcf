"""Which structures a pattern sheds: the cheapest steps first, by damage for each parameter that they save.

Theory of operation. Every layer offers steps: take its next 32 neurons, its next KV group, its next query head of each
group, its attention, its feed-forward block, all of it. A step has a saving and a damage, and units of one block go in
their order. Steps are taken by damage a parameter until the share is reached. Of a pattern of one kind nothing else is
offered; `adaptive` offers several kinds at once. A block that goes as a whole swallows its units.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from birdbone.compress.config import AdaptivePattern, StructuralPattern, TargetedPattern
from birdbone.compress.errors import ShareOutOfReachError
from birdbone.compress.growth.costs import CutCosts
from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.removal import close_structures, require_unprotected
from birdbone.compress.growth.structures import Structure, StructureKind, UnitKind, match_structures

_UNITS: Mapping[str, UnitKind] = {"neuron": "neuron", "kv_group": "kv_group", "head": "query_head"}
_IN_LAYERS: tuple[StructureKind, ...] = ("layer", "attention", "feed_forward", "kv_group", "query_head", "neuron")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """Structures that go together, and the rise of the loss that they add."""

    structures: tuple[Structure, ...]
    damage: float
    saving: int

    @property
    def rate(self) -> float:
        return self.damage / max(1, self.saving)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is to go.

    Attributes:
        structures: closed: nothing lies within another.
        num_parameters: that go with them.
        damage: sum of the rises of the loss that the steps were chosen by, in nats a token; an estimate, since steps
            are weighed alone. None for a targeted cut.
    """

    structures: tuple[Structure, ...]
    num_parameters: int
    damage: float | None


def choose_targeted(graph: DependencyGraph, pattern: TargetedPattern, protected: Mapping[Structure, str]) -> Choice:
    """Return the structures that are named.

    Raises:
        UnknownStructureError, ProtectedStructureError, BrokenConnectivityError: see `growth.errors`.
    """
    named = match_structures(pattern.structures, graph.structures(*_IN_LAYERS))
    require_unprotected(named, dict(protected))
    chosen = close_structures(graph, named)
    return Choice(structures=chosen, num_parameters=graph.num_parameters(chosen), damage=None)


def choose_structures(
    graph: DependencyGraph,
    pattern: StructuralPattern | AdaptivePattern,
    costs: CutCosts,
    protected: Mapping[Structure, str],
) -> Choice:
    """Return the cheapest structures that together hold at least the share of the decoder's parameters.

    Raises:
        ShareOutOfReachError: all that may go holds less (says how much).
    """
    kinds = pattern.kinds if isinstance(pattern, AdaptivePattern) else (pattern.kind,)
    total = graph.num_decoder_parameters
    queues = [
        steps
        for layout in graph.architecture.layers
        for kind in kinds
        if (steps := list(_steps(graph, layout.index, kind, costs, protected, multiple=pattern.width_multiple)))
    ]
    chosen: list[Structure] = []
    damage = 0.0
    for step in _cheapest_first(queues):
        if graph.num_parameters(chosen) >= pattern.share * total:
            break
        chosen += step.structures
        damage += step.damage
    reached = graph.num_parameters(chosen)
    if reached < pattern.share * total:
        message = f"Of the decoder's parameters {pattern.share:.1%} should go; {reached / total:.1%} may."
        raise ShareOutOfReachError(message, share=reached / total)
    closed = close_structures(graph, chosen)
    return Choice(structures=closed, num_parameters=graph.num_parameters(closed), damage=damage)


def _cheapest_first(queues: Sequence[Sequence[_Step]]) -> Iterator[_Step]:
    heads = [(steps[0].rate, number, 0) for number, steps in enumerate(queues)]
    heapq.heapify(heads)
    while heads:
        _, number, position = heapq.heappop(heads)
        yield queues[number][position]
        if position + 1 < len(queues[number]):
            heapq.heappush(heads, (queues[number][position + 1].rate, number, position + 1))


def _steps(
    graph: DependencyGraph,
    layer: int,
    kind: str,
    costs: CutCosts,
    protected: Mapping[Structure, str],
    *,
    multiple: int,
) -> Iterator[_Step]:
    if kind not in _UNITS:
        structure = next((found for found in graph.structures(kind) if found.layer == layer), None)  # type: ignore[arg-type]
        if structure is not None and structure in costs.blocks and structure not in protected:
            saving = graph.num_parameters([structure])
            yield _Step(structures=(structure,), damage=costs.blocks[structure], saving=saving)
        return
    unit = _UNITS[kind]
    order = costs.orders.get((layer, unit))
    if order is None:
        return
    block = Structure(kind="feed_forward" if unit == "neuron" else "attention", layer=layer)
    whole = max(costs.blocks.get(block, 1.0), 1e-6)
    units, errors = order.units_R.tolist(), order.errors_R.tolist()
    before = 0.0
    for group in _groups(graph, layer, unit, units, protected, multiple=multiple):
        after = max(before, errors[units.index(group[-1])])
        structures = tuple(Structure(kind=unit, layer=layer, index=index) for index in group)
        saving = graph.num_parameters(structures)
        yield _Step(structures=structures, damage=whole * (after - before), saving=saving)
        before = after


def _groups(
    graph: DependencyGraph,
    layer: int,
    unit: UnitKind,
    units: Sequence[int],
    protected: Mapping[Structure, str],
    *,
    multiple: int,
) -> Iterator[list[int]]:
    """Yield the units that go together, so that widths stay multiples and groups stay even."""
    free = [index for index in units if Structure(kind=unit, layer=layer, index=index) not in protected]
    if unit == "neuron":
        width = graph.architecture.layers[layer].feed_forward_size
        start = width % multiple
        bounds = [*([start] if start else []), *range(start + multiple, len(free) + 1, multiple)]
        yield from (free[low:high] for low, high in zip([0, *bounds], bounds, strict=False) if high <= len(free))
    elif unit == "kv_group":
        yield from ([index] for index in free)
    else:
        heads = graph.heads(layer)
        ranked = [
            [index for index in free if index // heads.heads_per_group == group] for group in range(heads.num_kv_heads)
        ]
        yield from (
            list(together) for together in zip(*(group[: heads.heads_per_group - 1] for group in ranked), strict=False)
        )
