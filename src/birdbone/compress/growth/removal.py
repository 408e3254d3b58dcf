"""What stays of each layer when structures go, and whether that still is a model. Plain data, free of torch.

Theory of operation. Removing the last part of something removes the thing: a feed-forward block without neurons, an
attention block without KV groups, a KV group without query heads, a layer without blocks. So a set of structures is
first closed under these rules, and then checked. What comes out says for each layer which parts stay, and that is all
that a cut needs to know.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from birdbone.compress.errors import BrokenConnectivityError, ProtectedStructureError
from birdbone.compress.growth.dependency import DependencyGraph, LayerHeads
from birdbone.compress.growth.structures import Structure, StructureKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRest:
    """What stays of one layer, by index within the layer as it was; empty where a whole block is gone.

    Attributes:
        neurons: of the feed-forward block.
        kv_groups: heads of keys and values.
        query_heads: heads of queries; the same number for each group that stays.
    """

    layer: int
    neurons: tuple[int, ...]
    kv_groups: tuple[int, ...]
    query_heads: tuple[int, ...]

    @property
    def has_attention(self) -> bool:
        """Whether an attention block stays."""
        return bool(self.kv_groups)

    @property
    def has_feed_forward(self) -> bool:
        """Whether a feed-forward block stays."""
        return bool(self.neurons)

    @property
    def is_gone(self) -> bool:
        """Whether nothing of the layer stays."""
        return not self.has_attention and not self.has_feed_forward


def rest_of_layers(graph: DependencyGraph, structures: Iterable[Structure]) -> tuple[LayerRest, ...]:
    """Return what stays of every layer, gone layers included.

    Raises:
        BrokenConnectivityError: no layer would stay, query heads would be shared unevenly, or a structure lies outside
            of the layers.
    """
    by_layer: dict[int, list[Structure]] = defaultdict(list)
    for structure in structures:
        if structure.layer is None:
            raise BrokenConnectivityError(f"{structure.name} lies outside of the layers and is not shed with them.")
        by_layer[structure.layer].append(structure)
    rests = tuple(_rest(graph, layout.index, by_layer[layout.index]) for layout in graph.architecture.layers)
    if all(rest.is_gone for rest in rests):
        raise BrokenConnectivityError("No layer would stay between embedding and head.")
    return rests


def close_structures(graph: DependencyGraph, structures: Iterable[Structure]) -> tuple[Structure, ...]:
    """Return the fewest structures that say the same: what lies within another is left out, full sets become wholes."""
    return tuple(found for rest in rest_of_layers(graph, structures) for found in structures_gone(graph, rest))


def structures_gone(graph: DependencyGraph, rest: LayerRest) -> list[Structure]:
    """Return what went from a layer of which `rest` stays, as few structures as can say it."""
    layout = graph.architecture.layers[rest.layer]
    if rest.is_gone:
        return [Structure(kind="layer", layer=rest.layer)]
    heads = graph.heads(rest.layer)
    gone = []
    if layout.attention and not rest.has_attention:
        gone.append(Structure(kind="attention", layer=rest.layer))
    elif layout.attention:
        gone += _missing("kv_group", rest.layer, heads.num_kv_heads, rest.kv_groups)
        lost = {number for group in gone for number in _heads_of(group.index, heads)}
        gone += [head for head in _missing("query_head", rest.layer, heads.num_heads, rest.query_heads)
                 if head.index not in lost]  # fmt: skip
    if layout.feed_forward and not rest.has_feed_forward:
        gone.append(Structure(kind="feed_forward", layer=rest.layer))
    elif layout.feed_forward:
        gone += _missing("neuron", rest.layer, layout.feed_forward_size, rest.neurons)
    return gone


def require_unprotected(structures: Iterable[Structure], protected: dict[Structure, str]) -> None:
    """Check that nothing that must stay would go.

    Raises:
        ProtectedStructureError: something would (names the first, and why it is protected).
    """
    for structure in structures:
        reason = protected.get(structure)
        if reason is not None:
            raise ProtectedStructureError(f"{structure.name} is protected: {reason}.", structure=structure.name)


def _rest(graph: DependencyGraph, layer: int, gone: list[Structure]) -> LayerRest:
    layout, heads = graph.architecture.layers[layer], graph.heads(layer)
    whole = {structure.kind for structure in gone}
    is_layer_gone = "layer" in whole
    neurons: tuple[int, ...] = ()
    if layout.feed_forward and not is_layer_gone and "feed_forward" not in whole:
        neurons = _staying(layout.feed_forward_size, _numbers(gone, "neuron"))
    if not layout.attention or is_layer_gone or "attention" in whole:
        return LayerRest(layer=layer, neurons=neurons, kv_groups=(), query_heads=())
    lost = _numbers(gone, "query_head")
    for group in _numbers(gone, "kv_group"):
        lost |= set(_heads_of(group, heads))
    queries = _staying(heads.num_heads, lost)
    counts = Counter(head // heads.heads_per_group for head in queries)
    if len(set(counts.values())) > 1:
        told = ", ".join(f"group {group}: {count}" for group, count in sorted(counts.items()))
        raise BrokenConnectivityError(f"Layer {layer} would keep query heads unevenly ({told}).", layer=layer)
    return LayerRest(layer=layer, neurons=neurons, kv_groups=tuple(sorted(counts)), query_heads=queries)


def _staying(count: int, lost: set[int]) -> tuple[int, ...]:
    return tuple(number for number in range(count) if number not in lost)


def _numbers(gone: list[Structure], kind: StructureKind) -> set[int]:
    return {structure.index for structure in gone if structure.kind == kind and structure.index is not None}


def _missing(kind: StructureKind, layer: int, count: int, kept: tuple[int, ...]) -> list[Structure]:
    return [Structure(kind=kind, layer=layer, index=number) for number in sorted(set(range(count)) - set(kept))]


def _heads_of(group: int | None, heads: LayerHeads) -> range:
    assert group is not None
    return range(group * heads.heads_per_group, (group + 1) * heads.heads_per_group)
