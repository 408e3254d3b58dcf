"""The graph knows every tensor of every family, and whatever goes, a path of matching shapes remains."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.growth.random_models import FAMILIES, draw_structures, graph_of, skeleton
from tests.compress.matrices import law, seeds

from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.structures import Structure

families = st.sampled_from(FAMILIES)


def walk(graph: DependencyGraph, shapes: dict[str, tuple[int, ...]]) -> None:
    """Follow a token from the embedding to the head: every matrix must take what the one before it gives."""
    architecture = graph.architecture
    width = shapes[f"{architecture.embedding}.weight"][1]
    for layout in architecture.layers:
        rows: dict[str, int] = {}
        for slot in layout.linears:
            shape = shapes.get(f"{slot.path}.weight")
            if shape is None:
                continue
            if slot.fused is not None:
                parts = shape[0] // len(slot.fused.parts) if slot.role == "gate_up" else 0
                rows |= {"gate": parts, "up": parts} if parts else {}
            rows[slot.role] = shape[0]
            assert shape[1] == {"o": rows.get("q", shape[1]), "down": rows.get("up", shape[1])}.get(slot.role, width)
            if slot.role in ("o", "down"):
                assert shape[0] == width
            if slot.has_bias:
                assert shapes[f"{slot.path}.bias"] == (shape[0],)
        assert rows.get("k") == rows.get("v")
        assert rows.get("gate", rows.get("up")) == rows.get("up")
        if "k" in rows:
            assert rows["q"] % rows["k"] == 0
            assert rows["k"] % architecture.head_dim == 0
            assert rows["k"] > 0
        if "qkv" in rows:
            o_path = layout.attention[-1].path
            assert (rows["qkv"] - shapes[f"{o_path}.weight"][1]) % (2 * architecture.head_dim) == 0
        assert ("q" in rows or "qkv" in rows) == ("o" in rows)
        assert ("up" in rows) == ("down" in rows)
        for path in layout.norms.values():
            assert shapes.get(f"{path}.weight", (width,)) in ((width,), (architecture.head_dim,))
    head = shapes.get(f"{architecture.head}.weight", shapes[f"{architecture.embedding}.weight"])
    assert head == shapes[f"{architecture.embedding}.weight"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_graph_holds_every_tensor_with_its_shape(family: str) -> None:
    model = skeleton(family)
    graph = graph_of(model)
    positions = graph.architecture.position_embedding or " "
    found = {name: tuple(tensor.shape) for name, tensor in model.named_parameters() if not name.startswith(positions)}
    assert graph.shapes == found
    assert graph.num_decoder_parameters == sum(
        tensor.numel() for name, tensor in model.named_parameters() if ".layers." in name
    )
    walk(graph, dict(graph.shapes))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_axis_of_a_space_has_its_width_and_each_index_once(family: str) -> None:
    graph = graph_of(skeleton(family))
    covered: dict[tuple[str, int], list[int]] = {}
    for space in graph.spaces.values():
        for axis in space.axes:
            indices = axis.indices(range(space.width))
            assert len(indices) == space.width
            covered.setdefault((axis.tensor, axis.axis), []).extend(indices)
    for (tensor, axis), indices in covered.items():
        assert sorted(indices) == list(range(graph.shapes[tensor][axis]))
    matrices = {(name, axis) for name, shape in graph.shapes.items() if len(shape) == 2 for axis in (0, 1)}
    assert matrices <= covered.keys()


@law
@given(family=families, seed=seeds, num_layers=st.integers(1, 4))
def test_whatever_goes_a_path_of_matching_shapes_remains(family: str, seed: int, num_layers: int) -> None:
    graph = graph_of(skeleton(family, num_layers))
    structures = draw_structures(graph, seed)
    shapes = graph.shapes_without(structures)
    walk(graph, shapes)
    left = sum(prod(shape) for shape in shapes.values())
    assert graph.num_parameters(structures) == sum(prod(shape) for shape in graph.shapes.values()) - left


@law
@given(family=families, kind=st.sampled_from(["embedding_row", "residual_channel"]), index=st.integers(0, 31))
def test_a_row_and_a_channel_go_through_the_whole_model(family: str, kind: str, index: int) -> None:
    graph = graph_of(skeleton(family))
    shapes = graph.shapes_without([Structure(kind=kind, index=index)])
    walk(graph, shapes)
    assert shapes[f"{graph.architecture.embedding}.weight"] == ((95, 32) if kind == "embedding_row" else (96, 31))


def test_a_kv_group_of_a_tiny_llama_by_hand() -> None:
    graph = graph_of(skeleton("llama"))
    pieces = {piece.tensor: piece for piece in graph.pieces(Structure(kind="kv_group", layer=1, index=1))}
    prefix = "model.layers.1.self_attn"
    assert pieces[f"{prefix}.q_proj.weight"].indices == tuple(range(16, 32))
    assert pieces[f"{prefix}.k_proj.weight"].indices == tuple(range(8, 16))
    assert pieces[f"{prefix}.o_proj.weight"].axis == 1
    assert graph.num_parameters([Structure(kind="kv_group", layer=1, index=1)]) == 2 * 16 * 32 + 2 * 8 * 32
    assert graph.num_parameters([Structure(kind="neuron", layer=0, index=3)]) == 3 * 32
