"""A model without a structure: silenced, with zeroed weights or cut, it says the same; the loss is what it says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.growth.random_models import FAMILIES, draw_model, draw_structures, graph_of
from tests.compress.growth.test_survey import tokens
from tests.compress.matrices import seeds

from birdbone.compress.errors import NoCalibrationDataError
from birdbone.compress.growth.ablation import Ablation, removal_losses, remove_greedily
from birdbone.compress.growth.removal import rest_of_layers
from birdbone.compress.growth.silencing import silenced
from birdbone.compress.growth.structures import Structure
from birdbone.compress.shedding.cutting import shrink_to


@settings(max_examples=30, deadline=None)
@given(family=st.sampled_from(FAMILIES), seed=seeds)
def test_a_silenced_model_says_what_the_cut_one_says(family: str, seed: int) -> None:
    model = draw_model(family, seed)
    graph, ids_NT = graph_of(model), tokens(seed, 2, 9)
    structures = draw_structures(graph, seed)
    before = model(ids_NT).logits
    with torch.no_grad(), silenced(model, graph, structures):
        silent = model(ids_NT).logits
    assert torch.equal(model(ids_NT).logits, before)
    shrink_to(model, graph.architecture, rest_of_layers(graph, structures))
    with torch.no_grad():
        torch.testing.assert_close(model(ids_NT).logits, silent, rtol=1e-3, atol=1e-3)


def test_the_loss_of_a_removal_is_that_of_the_whole_silenced_model(dense: Dense) -> None:
    model, windows_NT = dense.loaded.model, dense.heldout_NT[:5]
    graph = graph_of(model)
    ablation = Ablation(model, graph, windows_NT)
    for structure in (Structure(kind="attention", layer=2), Structure(kind="kv_group", layer=0, index=1)):
        with torch.no_grad(), silenced(model, graph, [structure]):
            expected = float(model(input_ids=windows_NT, labels=windows_NT).loss)
        assert ablation.loss_without(structure) == pytest.approx(expected, abs=1e-4)
    with torch.no_grad():
        assert ablation.base_loss == pytest.approx(float(model(input_ids=windows_NT, labels=windows_NT).loss), abs=1e-4)


def test_greedy_takes_at_each_turn_the_one_that_costs_least_of_those_it_measured(dense: Dense) -> None:
    graph = graph_of(dense.loaded.model)
    ablation = Ablation(dense.loaded.model, graph, dense.heldout_NT[:4])
    blocks = [*graph.structures("attention"), *graph.structures("feed_forward")]
    losses = removal_losses(ablation, blocks)
    chosen = remove_greedily(ablation, losses, num_removed=3)
    assert chosen[0].structure == min(losses, key=losses.__getitem__)
    assert len({found.structure for found in chosen}) == 3
    with torch.no_grad(), silenced(dense.loaded.model, graph, [found.structure for found in chosen]):
        loss = dense.loaded.model(input_ids=dense.heldout_NT[:4], labels=dense.heldout_NT[:4]).loss
    assert chosen[-1].loss == pytest.approx(float(loss), abs=1e-4)


def test_without_windows_nothing_is_measured(dense: Dense) -> None:
    graph = graph_of(dense.loaded.model)
    with pytest.raises(NoCalibrationDataError):
        Ablation(dense.loaded.model, graph, torch.empty(0, 4, dtype=torch.long))
