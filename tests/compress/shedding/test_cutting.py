"""A cut leaves what stays bit for bit, or refits it to err less; undoing it gives back every bit."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.growth.random_models import FAMILIES, draw_model, draw_structures, graph_of
from tests.compress.growth.test_survey import tokens
from tests.compress.matrices import seeds
from transformers import PreTrainedModel

from birdbone.compress.errors import (
    BadArchiveError,
    BrokenConnectivityError,
    NoCalibrationDataError,
    UnknownStructureError,
)
from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.removal import close_structures
from birdbone.compress.growth.structures import Structure
from birdbone.compress.shedding.archive import from_archive, to_archive
from birdbone.compress.shedding.cutting import Shed, cut_model
from birdbone.compress.shedding.effect import CutEffect, weigh_graph
from birdbone.compress.shedding.restoring import restore_structures


def bits(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def cut(
    model: PreTrainedModel, structures: list[Structure], windows_NT: torch.Tensor | None
) -> tuple[DependencyGraph, Shed]:
    graph = graph_of(model)
    return graph, cut_model(model, graph, structures, windows_NT=windows_NT)


@settings(max_examples=20, deadline=None)
@given(family=st.sampled_from(FAMILIES), seed=seeds, refits=st.booleans())
def test_undoing_the_whole_gives_back_every_bit(family: str, seed: int, refits: bool) -> None:
    model = draw_model(family, seed)
    before, logits = bits(model), model(tokens(seed, 1, 7)).logits
    structures = draw_structures(graph_of(model), seed)
    _, shed = cut(model, structures, tokens(seed, 2, 40) if refits else None)
    after = bits(model)
    restored = restore_structures(model, shed)
    assert same(bits(restored), before)
    assert torch.equal(restored(tokens(seed, 1, 7)).logits, logits)
    assert same(bits(model), after)


@settings(max_examples=20, deadline=None)
@given(family=st.sampled_from(FAMILIES), seed=seeds, data=st.data())
def test_undoing_a_part_is_as_if_it_had_never_gone(family: str, seed: int, data: st.DataObject) -> None:
    model = draw_model(family, seed)
    whole = copy.deepcopy(model)
    graph = graph_of(model)
    layers = {found.layer for found in draw_structures(graph, seed)}
    back = data.draw(st.sets(st.sampled_from(sorted(layers)) if layers else st.nothing()))
    _, shed = cut(model, draw_structures(graph, seed), None)
    returning = [found for found in shed.structures if found.layer in back]
    restored = restore_structures(model, shed, returning)
    cut(whole, [found for found in shed.structures if found.layer not in back], None)
    assert same(bits(restored), bits(whole))


def test_a_layer_that_comes_back_whole_is_as_it_was_though_others_stay_refitted(
    dense: Dense, tiny_model: object
) -> None:
    model = tiny_model.model  # type: ignore[attr-defined]
    before = bits(model)
    structures = [Structure(kind="neuron", layer=layer, index=index) for layer in (1, 2) for index in range(32)]
    _, shed = cut(model, structures, dense.calibration_NT[:4])
    cut_down = model.get_parameter("model.layers.2.mlp.down_proj.weight").clone()
    restored = restore_structures(model, shed, structures[:32])
    for part in ("gate", "up", "down"):
        name = f"model.layers.1.mlp.{part}_proj.weight"
        assert torch.equal(restored.get_parameter(name), before[name])
    assert torch.equal(restored.get_parameter("model.layers.2.mlp.down_proj.weight"), cut_down)
    with pytest.raises(UnknownStructureError):
        restore_structures(model, shed, [Structure(kind="neuron", layer=3, index=0)])


def test_the_refit_loses_less_than_the_bare_cut(dense: Dense, tiny_model: object) -> None:
    model = tiny_model.model  # type: ignore[attr-defined]
    bare, graph = copy.deepcopy(model), graph_of(model)
    structures = [
        Structure(kind="neuron", layer=layer, index=index) for layer in range(4) for index in range(0, 160, 3)
    ]
    structures += [Structure(kind="kv_group", layer=2, index=0)]
    _, shed = cut(model, structures, dense.calibration_NT)
    cut(bare, structures, None)
    assert dense.perplexity(model) < dense.perplexity(bare)
    assert len(shed.errors) == 5
    assert all(0 < error < 1 for error in shed.errors)
    assert graph_of(model).num_decoder_parameters == graph.num_decoder_parameters - graph.num_parameters(structures)


def test_after_an_error_the_model_is_as_it_was(dense: Dense, tiny_model: object) -> None:
    model = tiny_model.model  # type: ignore[attr-defined]
    before = bits(model)
    with pytest.raises(BrokenConnectivityError):
        cut(model, [Structure(kind="layer", layer=layer) for layer in range(4)], None)
    with pytest.raises(NoCalibrationDataError):
        cut(model, [Structure(kind="neuron", layer=1, index=0)], torch.empty(0, 8, dtype=torch.long))
    assert same(bits(model), before)


def test_a_cut_that_was_kept_reads_back_and_still_undoes(dense: Dense, tiny_model: object) -> None:
    model = tiny_model.model  # type: ignore[attr-defined]
    before = bits(model)
    structures = [Structure(kind="attention", layer=2), Structure(kind="neuron", layer=1, index=3)]
    graph, shed = cut(model, structures, None)
    kept = to_archive(shed)
    again = from_archive(kept.tensors, json.loads(json.dumps(kept.data)))
    assert again.structures == shed.structures == close_structures(graph, structures)
    assert same(bits(restore_structures(model, again)), before)
    with pytest.raises(BadArchiveError):
        from_archive(kept.tensors, {"config": kept.data["config"]})
    with pytest.raises(BadArchiveError, match="shape"):
        from_archive({"model.layers.1.mlp.up_proj.weight": torch.zeros(2, 2)}, kept.data)


def test_sizes_and_arithmetic_are_counted_from_shapes(dense: Dense, tiny_model: object) -> None:
    model = tiny_model.model  # type: ignore[attr-defined]
    before = weigh_graph(graph_of(model))
    assert before.num_parameters == model.num_parameters()
    assert before.bytes_read_per_token == before.f16_bytes == 2 * model.num_parameters()
    cut(model, [Structure(kind="layer", layer=1)], None)
    effect = CutEffect(before=before, after=weigh_graph(graph_of(model)))
    assert effect.share == 0.25
    assert effect.after.num_layers == 3
    assert effect.after.flops_per_token < before.flops_per_token
    assert effect.perplexity_after is None
