"""A model pruned block by block: on the pattern, far better than a score alone, and the same when it is streamed."""

from __future__ import annotations

import copy

import pytest
import torch

from birdbone.compress.budget import spread_sparsity
from birdbone.compress.config import EvenBudget, MaskConfig, NOfMPattern, RefitConfig, UnstructuredPattern
from birdbone.compress.errors import NoCalibrationDataError, PatternWidthError, SilentInputError
from birdbone.compress.masks import prune_blocks
from birdbone.models import load_model
from birdbone.models.streaming import open_streamed

HALF = MaskConfig(budget=EvenBudget())
PLAIN = MaskConfig(budget=EvenBudget(), num_rounds=0, refit=RefitConfig(num_iterations=1))


def pruned(dense, config, sparsity=0.5):
    model, architecture = copy.deepcopy(dense.loaded.model), dense.loaded.architecture
    shares = dict.fromkeys(architecture.linear_paths, sparsity)
    return model, prune_blocks(model, architecture, dense.calibration_NT, config, sparsities=shares)


def test_half_the_weights_go_and_masks_with_refit_beat_a_score_alone(dense, dense_stays):
    before = dense.perplexity(dense.loaded.model)
    model, report = pruned(dense, HALF)
    assert report.sparsity == pytest.approx(0.5, abs=0.01)
    assert [linear.path for linear in report.linears] == list(dense.loaded.architecture.linear_paths)
    for linear in report.linears:
        weight_FD = model.get_parameter(f"{linear.path}.weight")
        assert float((weight_FD == 0).float().mean()) == pytest.approx(linear.sparsity)
        assert 0 < linear.output_error < 0.5
    plain, _ = pruned(dense, PLAIN)
    assert before < dense.perplexity(model) < dense.perplexity(plain)


def test_the_budget_of_each_linear_is_kept(dense):
    architecture = dense.loaded.architecture
    shares = {path: 0.25 if number % 2 else 0.75 for number, path in enumerate(architecture.linear_paths)}
    model = copy.deepcopy(dense.loaded.model)
    report = prune_blocks(model, architecture, dense.calibration_NT[:4], HALF, sparsities=shares)
    assert [linear.sparsity for linear in report.linears] == pytest.approx(list(shares.values()), abs=0.02)


def test_two_of_four_is_two_of_four_everywhere(dense):
    model, report = pruned(dense, HALF.model_copy(update={"pattern": NOfMPattern()}))
    assert report.sparsity == pytest.approx(0.5)
    for linear in report.linears:
        groups = (model.get_parameter(f"{linear.path}.weight") != 0).reshape(-1, 4).sum(dim=1)
        assert int(groups.max()) <= 2


def test_a_pattern_that_does_not_fit_leaves_the_model_as_it_was(dense, dense_stays):
    config = HALF.model_copy(update={"pattern": NOfMPattern(num_kept=3, group=7)})
    model, architecture = dense.loaded.model, dense.loaded.architecture
    with pytest.raises(PatternWidthError, match="7 divides"):
        prune_blocks(model, architecture, dense.calibration_NT, config, sparsities={})
    with pytest.raises(NoCalibrationDataError):
        prune_blocks(model, architecture, dense.calibration_NT[:0], HALF, sparsities={})


def test_silent_inputs_are_an_error_that_names_the_layer(dense):
    model, architecture = copy.deepcopy(dense.loaded.model), dense.loaded.architecture
    up = architecture.layers[1].linear("up")
    with torch.no_grad():
        model.get_parameter(f"{up.path}.weight").zero_()
    with pytest.raises(SilentInputError, match=architecture.layers[1].linear("down").path):
        prune_blocks(model, architecture, dense.calibration_NT, HALF, sparsities={})


def test_a_streamed_checkpoint_gives_the_same_weights(dense, tiny_model_folder, tmp_path):
    whole, report = pruned(dense, HALF)
    shares = dict.fromkeys(dense.loaded.architecture.linear_paths, 0.5)
    streamed = open_streamed(tiny_model_folder, tmp_path / "out")
    found = prune_blocks(
        streamed.model,
        streamed.architecture,
        dense.calibration_NT,
        HALF,
        sparsities=shares,
        enter=streamed.layer,
    )
    streamed.finish()
    again = load_model(str(tmp_path / "out")).model
    assert found == report
    for (name, expected), (_, value) in zip(whole.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(expected, value), name


def test_the_default_is_half_the_weights_by_what_they_cost():
    assert MaskConfig().pattern == UnstructuredPattern(share=0.5)
    assert MaskConfig().budget.kind == "loss"


def test_zeros_go_where_the_loss_feels_them_least(dense, dense_stays):
    model, architecture = dense.loaded.model, dense.loaded.architecture
    found = spread_sparsity(model, architecture, dense.calibration_NT, MaskConfig())
    sizes = {path: model.get_parameter(f"{path}.weight").numel() for path in found}
    assert list(found) == list(architecture.linear_paths)
    assert sum(found[path] * sizes[path] for path in found) / sum(sizes.values()) == pytest.approx(0.5)
    assert max(found.values()) - min(found.values()) > 0.1
    assert max(abs(value - 0.5) for value in found.values()) <= 0.25 + 1e-9
    even = spread_sparsity(model, architecture, dense.calibration_NT, HALF)
    assert set(even.values()) == {0.5}
    two_of_four = MaskConfig(pattern=NOfMPattern())
    assert set(spread_sparsity(model, architecture, dense.calibration_NT, two_of_four).values()) == {0.5}


def test_a_budget_by_loss_beats_an_even_one(dense):
    model, architecture = copy.deepcopy(dense.loaded.model), dense.loaded.architecture
    harsh = MaskConfig(pattern=UnstructuredPattern(share=0.7))
    shares = spread_sparsity(model, architecture, dense.calibration_NT, harsh)
    prune_blocks(model, architecture, dense.calibration_NT, harsh, sparsities=shares)
    even, _ = pruned(dense, harsh, sparsity=0.7)
    assert dense.perplexity(model) < dense.perplexity(even)
