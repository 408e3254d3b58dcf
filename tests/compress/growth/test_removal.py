"""What stays of each layer: closed under the rules, told in the fewest words, and refused where no model remains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.growth.random_models import FAMILIES, draw_structures, graph_of, skeleton
from tests.compress.matrices import law, seeds

from birdbone.compress.errors import BrokenConnectivityError, ProtectedStructureError
from birdbone.compress.growth.removal import close_structures, require_unprotected, rest_of_layers
from birdbone.compress.growth.structures import Structure


@law
@given(family=st.sampled_from(FAMILIES), seed=seeds)
def test_closing_changes_nothing_and_is_done_once(family: str, seed: int) -> None:
    graph = graph_of(skeleton(family))
    structures = draw_structures(graph, seed)
    closed = close_structures(graph, structures)
    assert rest_of_layers(graph, closed) == rest_of_layers(graph, structures)
    assert close_structures(graph, closed) == closed
    assert graph.num_parameters(closed) >= graph.num_parameters(structures)


def test_the_last_part_takes_the_whole_with_it() -> None:
    graph = graph_of(skeleton("llama"))
    neurons = [Structure(kind="neuron", layer=1, index=index) for index in range(48)]
    assert close_structures(graph, neurons) == (Structure(kind="feed_forward", layer=1),)
    heads = [Structure(kind="query_head", layer=1, index=index) for index in (2, 3)]
    assert close_structures(graph, heads) == (Structure(kind="kv_group", layer=1, index=1),)
    groups = [Structure(kind="kv_group", layer=1, index=index) for index in (0, 1)]
    assert close_structures(graph, groups) == (Structure(kind="attention", layer=1),)
    assert close_structures(graph, [*groups, *neurons]) == (Structure(kind="layer", layer=1),)


def test_uneven_heads_an_empty_model_and_what_lies_outside_are_refused() -> None:
    graph = graph_of(skeleton("llama"))
    with pytest.raises(BrokenConnectivityError, match="group 0: 1, group 1: 2"):
        rest_of_layers(graph, [Structure(kind="query_head", layer=0, index=0)])
    with pytest.raises(BrokenConnectivityError, match="No layer"):
        rest_of_layers(graph, graph.structures("layer"))
    with pytest.raises(BrokenConnectivityError, match="outside"):
        rest_of_layers(graph, [Structure(kind="embedding_row", index=0)])


def test_what_is_protected_is_named_with_its_reason() -> None:
    structure = Structure(kind="attention", layer=2)
    require_unprotected([structure], {})
    with pytest.raises(ProtectedStructureError, match=r"layers.2.attention is protected: because"):
        require_unprotected([structure], {structure: "because"})
