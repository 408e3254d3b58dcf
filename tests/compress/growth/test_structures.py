"""A structure's name reads back, and globs pick what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import law

from birdbone.compress.errors import UnknownStructureError
from birdbone.compress.growth.structures import Structure, match_structures, parse_structure

numbers = st.integers(0, 10_000)
structures = st.one_of(
    st.builds(Structure, kind=st.sampled_from(["layer", "attention", "feed_forward"]), layer=numbers),
    st.builds(Structure, kind=st.sampled_from(["kv_group", "query_head", "neuron"]), layer=numbers, index=numbers),
    st.builds(Structure, kind=st.sampled_from(["embedding_row", "residual_channel"]), index=numbers),
)


@law
@given(structures)
def test_a_name_reads_back(structure: Structure) -> None:
    assert parse_structure(structure.name) == structure


@law
@given(st.lists(structures))
def test_the_order_is_total_and_goes_by_layer(found: list[Structure]) -> None:
    ordered = sorted(found)
    inside = [structure.layer for structure in ordered if structure.layer is not None]
    assert inside == sorted(inside)
    assert ordered == sorted(sorted(found, key=hash))


@pytest.mark.parametrize(
    "name", ["", "layers", "layers.x", "layers.1.neuron", "layers.1.attention.2", "neuron.3", "layers.1.mlp"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownStructureError):
        parse_structure(name)


def test_globs_pick_by_name_in_the_models_order_and_must_fit_something() -> None:
    known = [Structure(kind="attention", layer=layer) for layer in range(12)]
    names = [found.name for found in match_structures(["layers.1?.attention", "layers.2.*"], known)]
    assert names == ["layers.2.attention", "layers.10.attention", "layers.11.attention"]
    with pytest.raises(UnknownStructureError, match=r"layers\.99"):
        match_structures(["layers.1.*", "layers.99"], known)
