"""What must go together: every structure of a model with each piece of each tensor that belongs to it.

Theory of operation. A *space* is a dimension that several tensors share: the residual stream, the neurons of a feed-
forward block, the rows of its query heads, the rows of its keys and values, the vocabulary. An axis of a tensor lies
in one space, or, where matrices are fused, a part of the axis does. To take a position out of a space is to take it
out of every axis that lies there; nothing else makes shapes match again. So a structure is a set of positions of some
spaces, or whole tensors, and the graph answers what goes with it. It is built from the `Architecture` alone: no
weights, no torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from birdbone.compress.growth.structures import Structure, StructureKind
from birdbone.models.architecture import Architecture, LayerLayout, LinearSlot, NormRole

_ATTENTION_NORMS: tuple[NormRole, ...] = ("attention", "post_attention", "query", "key")
_FEED_FORWARD_NORMS: tuple[NormRole, ...] = ("feed_forward", "post_feed_forward")
RESIDUAL, VOCABULARY = "residual", "vocabulary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One dimension of a tensor, or a part of it, that lies in a space.

    Attributes:
        rows: for each position of the space, the index along the axis; None where they are the same.
    """

    tensor: str
    axis: int
    rows: tuple[int, ...] | None = None

    def indices(self, positions: Iterable[int]) -> tuple[int, ...]:
        """Return where these positions of the space lie along the axis."""
        return tuple(positions) if self.rows is None else tuple(self.rows[position] for position in positions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A dimension that tensors share."""

    name: str
    width: int
    axes: tuple[Axis, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of one tensor: indices along an axis, or all of it where the axis is None."""

    tensor: str
    axis: int | None
    indices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerHeads:
    """Heads of one layer; zero where it has no attention."""

    num_heads: int
    num_kv_heads: int

    @property
    def heads_per_group(self) -> int:
        """Query heads that share one head of keys and values."""
        return self.num_heads // max(1, self.num_kv_heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyGraph:
    """Spaces, and the tensors that lie in them.

    Attributes:
        architecture: what it was built from.
        shapes: of every tensor that holds parameters; a tied head is the embedding and is not there.
        spaces: by name.
    """

    architecture: Architecture
    shapes: Mapping[str, tuple[int, ...]]
    spaces: Mapping[str, Space]
    _heads: tuple[LayerHeads, ...] = field(repr=False)

    def heads(self, layer: int) -> LayerHeads:
        """Return the heads of a layer."""
        return self._heads[layer]

    def structures(self, *kinds: StructureKind) -> tuple[Structure, ...]:
        """Return every structure of these kinds, of the layers in their order, and then those outside."""
        layers = self.architecture.layers
        inside = [found for layout in layers for kind in kinds for found in self._of_layer(layout, kind)]
        return (*inside, *(found for kind in kinds for found in self._outside(kind)))

    def pieces(self, structure: Structure) -> tuple[Piece, ...]:
        """Return every part of every tensor that goes with a structure."""
        if structure.layer is None:
            space = RESIDUAL if structure.kind == "residual_channel" else VOCABULARY
            return self._cut({space: _index(structure)})
        if structure.kind in ("layer", "attention", "feed_forward"):
            return tuple(Piece(tensor=name, axis=None) for name in self.tensors_of(structure))
        return self._cut(self._positions(structure))

    def tensors_of(self, block: Structure) -> list[str]:
        """Return the names of all tensors of a layer, an attention or a feed-forward block, norms and biases too."""
        assert block.layer is not None, f"{block.name} is not a block"
        return self._block_tensors(self.architecture.layers[block.layer], block.kind)

    def num_parameters(self, structures: Iterable[Structure]) -> int:
        """Return how many parameters go with these structures together; what two share counts once."""
        rest = self.shapes_without(structures)
        return sum(prod(shape) - prod(rest.get(name, (0,))) for name, shape in self.shapes.items())

    def shapes_without(self, structures: Iterable[Structure]) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor that is left; those that are gone are not there."""
        gone: set[str] = set()
        cut: dict[tuple[str, int], set[int]] = defaultdict(set)
        for piece in (piece for structure in structures for piece in self.pieces(structure)):
            if piece.axis is None:
                gone.add(piece.tensor)
            else:
                cut[piece.tensor, piece.axis].update(piece.indices)
        return {
            name: tuple(size - len(cut.get((name, axis), ())) for axis, size in enumerate(shape))
            for name, shape in self.shapes.items()
            if name not in gone
        }

    @property
    def num_decoder_parameters(self) -> int:
        """Parameters of all layers: without embedding, final norm and head."""
        return sum(prod(self.shapes[name]) for layer in self.architecture.layers for name in self._tensors(layer))

    def _of_layer(self, layout: LayerLayout, kind: StructureKind) -> Iterator[Structure]:
        heads = self._heads[layout.index]
        counts: dict[StructureKind, int] = {
            "neuron": layout.feed_forward_size if layout.feed_forward else 0,
            "query_head": heads.num_heads,
            "kv_group": heads.num_kv_heads,
        }
        if kind in counts:
            yield from (Structure(kind=kind, layer=layout.index, index=number) for number in range(counts[kind]))
        elif (
            (kind == "attention" and layout.attention)
            or (kind == "feed_forward" and layout.feed_forward)
            or kind == "layer"
        ):
            yield Structure(kind=kind, layer=layout.index)

    def _outside(self, kind: StructureKind) -> Iterator[Structure]:
        widths: dict[StructureKind, str] = {"embedding_row": VOCABULARY, "residual_channel": RESIDUAL}
        if kind in widths:
            yield from (Structure(kind=kind, index=number) for number in range(self.spaces[widths[kind]].width))

    def _positions(self, structure: Structure) -> dict[str, range]:
        """Return the positions of each space that a neuron, a query head or a KV group takes."""
        (number,), layer = _index(structure), structure.layer
        assert layer is not None
        width = self.architecture.head_dim
        match structure.kind:
            case "neuron":
                return {_neurons(layer): range(number, number + 1)}
            case "query_head":
                return {_queries(layer): range(number * width, (number + 1) * width)}
            case _:
                span = width * self._heads[layer].heads_per_group
                keys = range(number * width, (number + 1) * width)
                return {_queries(layer): range(number * span, (number + 1) * span), _keys(layer): keys}

    def _cut(self, positions: Mapping[str, Iterable[int]]) -> tuple[Piece, ...]:
        return tuple(
            Piece(tensor=axis.tensor, axis=axis.axis, indices=axis.indices(taken))
            for space, taken in positions.items()
            for axis in self.spaces[space].axes
        )

    def _block_tensors(self, layout: LayerLayout, kind: StructureKind) -> list[str]:
        if kind == "layer":
            return self._tensors(layout)
        slots, roles = (
            (layout.attention, _ATTENTION_NORMS) if kind == "attention" else (layout.feed_forward, _FEED_FORWARD_NORMS)
        )
        paths = [slot.path for slot in slots] + [layout.norms[role] for role in roles if role in layout.norms]
        return [name for path in paths for name in (f"{path}.weight", f"{path}.bias") if name in self.shapes]

    def _tensors(self, layout: LayerLayout) -> list[str]:
        return self._block_tensors(layout, "attention") + self._block_tensors(layout, "feed_forward")


def build_dependency_graph(architecture: Architecture) -> DependencyGraph:
    """Return the graph of a model. Layers may differ in width and heads, or lack a block.

    Source: Fang et al. 2023 (DepGraph), arXiv:2301.12900, sec. 3.2. Differs: the architecture is known, so that nothing
    is traced, and grouped-query heads and fused matrices are exact.
    """
    axes: dict[str, list[Axis]] = defaultdict(list)
    shapes: dict[str, tuple[int, ...]] = {}
    _add_ends(architecture, axes, shapes)
    for layout in architecture.layers:
        _add_norms(architecture, layout, axes, shapes)
        for slot in layout.linears:
            _add_linear(layout.index, slot, axes, shapes)
    widths = {name: _width(members, shapes) for name, members in axes.items()}
    spaces = {name: Space(name=name, width=widths[name], axes=tuple(members)) for name, members in axes.items()}
    heads = tuple(_count_heads(architecture, layout) for layout in architecture.layers)
    return DependencyGraph(architecture=architecture, shapes=shapes, spaces=spaces, _heads=heads)


def _add_ends(architecture: Architecture, axes: dict[str, list[Axis]], shapes: dict[str, tuple[int, ...]]) -> None:
    embedding = f"{architecture.embedding}.weight"
    shapes[embedding] = (architecture.vocab_size, architecture.hidden_size)
    axes[VOCABULARY].append(Axis(tensor=embedding, axis=0))
    axes[RESIDUAL].append(Axis(tensor=embedding, axis=1))
    if not architecture.is_embedding_tied:
        head = f"{architecture.head}.weight"
        shapes[head] = shapes[embedding]
        axes[VOCABULARY].append(Axis(tensor=head, axis=0))
        axes[RESIDUAL].append(Axis(tensor=head, axis=1))
    if architecture.final_norm is not None:
        _add_norm(architecture, architecture.final_norm, axes, shapes)


def _add_norms(
    architecture: Architecture, layout: LayerLayout, axes: dict[str, list[Axis]], shapes: dict[str, tuple[int, ...]]
) -> None:
    for role, path in layout.norms.items():
        if role in ("query", "key"):
            shapes[f"{path}.weight"] = (architecture.head_dim,)
        else:
            _add_norm(architecture, path, axes, shapes)


def _add_norm(
    architecture: Architecture, path: str, axes: dict[str, list[Axis]], shapes: dict[str, tuple[int, ...]]
) -> None:
    names = [f"{path}.weight"] + ([f"{path}.bias"] if architecture.norm_kind == "layer" else [])
    for name in names:
        shapes[name] = (architecture.hidden_size,)
        axes[RESIDUAL].append(Axis(tensor=name, axis=0))


def _add_linear(layer: int, slot: LinearSlot, axes: dict[str, list[Axis]], shapes: dict[str, tuple[int, ...]]) -> None:
    weight, bias = f"{slot.path}.weight", f"{slot.path}.bias"
    shapes[weight] = (slot.out_features, slot.in_features)
    if slot.has_bias:
        shapes[bias] = (slot.out_features,)
    axes[_space_of_inputs(layer, slot)].append(Axis(tensor=weight, axis=1))
    for space, rows in _spaces_of_outputs(layer, slot):
        axes[space].append(Axis(tensor=weight, axis=0, rows=rows))
        if slot.has_bias:
            axes[space].append(Axis(tensor=bias, axis=0, rows=rows))


def _space_of_inputs(layer: int, slot: LinearSlot) -> str:
    return {"o": _queries(layer), "down": _neurons(layer)}.get(slot.role, RESIDUAL)


def _spaces_of_outputs(layer: int, slot: LinearSlot) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    if slot.fused is not None:
        yield from ((_space_of_part(layer, part), tuple(slot.fused.rows(part))) for part in slot.fused.parts)
    elif slot.role in ("o", "down"):
        yield RESIDUAL, None
    else:
        yield _space_of_part(layer, slot.role), None


def _space_of_part(layer: int, part: str) -> str:
    return {"q": _queries(layer), "k": _keys(layer), "v": _keys(layer)}.get(part, _neurons(layer))


def _count_heads(architecture: Architecture, layout: LayerLayout) -> LayerHeads:
    rows: dict[str, int] = {slot.role: slot.out_features for slot in layout.attention}
    for slot in layout.attention:
        if slot.fused is not None:
            rows |= dict(zip(slot.fused.parts, slot.fused.sizes, strict=True))
    return LayerHeads(
        num_heads=rows.get("q", 0) // architecture.head_dim, num_kv_heads=rows.get("k", 0) // architecture.head_dim
    )


def _width(axes: list[Axis], shapes: Mapping[str, tuple[int, ...]]) -> int:
    first = axes[0]
    return shapes[first.tensor][first.axis] if first.rows is None else len(first.rows)


def _index(structure: Structure) -> tuple[int]:
    assert structure.index is not None, f"{structure.name} has no index"
    return (structure.index,)


def _neurons(layer: int) -> str:
    return f"layers.{layer}.neurons"


def _queries(layer: int) -> str:
    return f"layers.{layer}.queries"


def _keys(layer: int) -> str:
    return f"layers.{layer}.keys"
