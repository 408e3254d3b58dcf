"""One pass over a model: its figures are those of a whole run, sinks and outliers are found, nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.compress.conftest import Dense
from tests.compress.growth.random_models import FAMILIES, draw_model, graph_of

from birdbone.compress.config import ProtectConfig
from birdbone.compress.errors import NoCalibrationDataError, UnknownStructureError
from birdbone.compress.growth.protection import critical_paths, protected_structures
from birdbone.compress.growth.redundancy import block_influence
from birdbone.compress.growth.structures import Structure
from birdbone.compress.growth.survey import survey_layers


def tokens(seed: int, *shape: int) -> torch.Tensor:
    return torch.randint(3, 96, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_surveyed_and_left_as_it_was(family: str) -> None:
    model = draw_model(family)
    graph, ids_NT = graph_of(model), tokens(0, 4, 12)
    before, attention = model(ids_NT).logits, model.config._attn_implementation
    surveys = survey_layers(model, graph, ids_NT)
    assert model.config._attn_implementation == attention
    assert torch.equal(model(ids_NT).logits, before)
    states = model(ids_NT, output_hidden_states=True).hidden_states
    for survey in surveys:
        assert set(survey.blocks) == {"layer", "attention", "feed_forward"}
        assert survey.neurons is not None
        assert survey.heads is not None
        assert survey.neurons.power.shape == (48,)
        assert bool((survey.neurons.fluctuation <= survey.neurons.power * 1.001).all())
        assert survey.sink_share is not None
        assert bool(((survey.sink_share >= 0) & (survey.sink_share <= 1)).all())
    middle = surveys[0].blocks["layer"].influence
    expected = block_influence(states[0][:, 1:].flatten(0, 1), states[1][:, 1:].flatten(0, 1))
    assert middle == pytest.approx(expected, abs=1e-3)


def test_a_block_that_adds_nothing_has_no_influence(dense: Dense, tiny_model: Any) -> None:
    model = tiny_model.model
    with torch.no_grad():
        model.get_parameter("model.layers.1.mlp.down_proj.weight").zero_()
    graph = graph_of(model)
    found = survey_layers(model, graph, dense.calibration_NT)[1].blocks
    assert found["feed_forward"].influence == pytest.approx(0.0, abs=1e-5)
    assert found["feed_forward"].cka == pytest.approx(1.0, abs=1e-4)
    assert found["attention"].influence > 1e-3


def test_a_loud_neuron_a_sink_head_and_the_ends_are_protected_each_with_its_reason(
    dense: Dense, tiny_model: Any
) -> None:
    model = tiny_model.model
    with torch.no_grad():
        model.get_parameter("model.layers.1.mlp.up_proj.weight")[7] *= 1e5
    graph = graph_of(model)
    surveys = survey_layers(model, graph, dense.calibration_NT[:4])
    config = ProtectConfig(also=("layers.2.kv_group.1",), sink_share=1e-6, protects_sinks=True)
    reasons = protected_structures(graph, surveys, config)
    assert "massive activation" in reasons[Structure(kind="neuron", layer=1, index=7)]
    assert "layers.1.neuron.7 within it" in reasons[Structure(kind="feed_forward", layer=1)]
    assert reasons[Structure(kind="kv_group", layer=2, index=1)].startswith(("named", "layers.2.query_head"))
    assert reasons[Structure(kind="attention", layer=0)] == "one of the first 1 layers"
    assert "attention sink" in reasons[Structure(kind="query_head", layer=2, index=0)]
    paths = {
        path.name: path for path in critical_paths(graph, surveys, ProtectConfig(sink_share=1e-6, massive_ratio=3))
    }
    assert not paths["layers.2.query_head.0"].is_protected
    assert any(name.startswith("residual_channel") for name in paths)
    with pytest.raises(UnknownStructureError):
        protected_structures(graph, surveys, ProtectConfig(also=("layers.9",)))


def test_without_windows_there_is_no_survey(dense: Dense) -> None:
    graph = graph_of(dense.loaded.model)
    with pytest.raises(NoCalibrationDataError):
        survey_layers(dense.loaded.model, graph, torch.empty(0, 8, dtype=torch.long))
