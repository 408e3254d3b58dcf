"""Healing brings the pruned model nearer to the dense one, keeps every mask, and never hurts a block."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.healing.pruned import assert_masks_hold, state_of, thin_out
from tests.compress.matrices import law

from birdbone.compress.config import BlockwiseConfig
from birdbone.compress.errors import HealingDivergedError, NoCalibrationDataError
from birdbone.compress.healing import HealReport, blockwise, heal_blocks
from birdbone.compress.waves import Masks
from birdbone.models import LoadedModel
from birdbone.watch import MemorySink

pytestmark = pytest.mark.usefixtures("dense_stays")

CONFIG = BlockwiseConfig(num_steps=24, num_windows=8, batch_size=4, learning_rate=1e-3)


def heal(
    pruned: LoadedModel, dense: Dense, masks: Masks, config: BlockwiseConfig = CONFIG, **settings: Any
) -> HealReport:
    return heal_blocks(
        pruned.model,
        dense.loaded.model,
        dense.loaded.architecture,
        windows_NT=settings.pop("windows_NT", dense.healing_NT[:8]),
        masks=masks,
        config=config,
        **settings,
    )


def test_it_lowers_the_error_of_every_block_and_the_perplexity_and_revives_nothing(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    masks = thin_out(tiny_model)
    before = dense.perplexity(tiny_model.model)
    report = heal(tiny_model, dense, masks)
    assert all(after < before for before, after in zip(report.errors_before, report.errors_after, strict=True))
    assert sum(report.errors_after) < 0.9 * sum(report.errors_before)
    assert dense.perplexity(tiny_model.model) < before
    assert_masks_hold(tiny_model, masks)


def test_the_same_healing_gives_the_same_bits(tiny_model_folder: Any, dense: Dense) -> None:
    from birdbone.models import load_model

    states, reports = [], []
    for _ in range(2):
        loaded = load_model(str(tiny_model_folder))
        reports.append(heal(loaded, dense, thin_out(loaded)))
        states.append(state_of(loaded))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert reports[0] == reports[1]


def test_zero_steps_change_nothing(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = thin_out(tiny_model)
    before = state_of(tiny_model)
    report = heal(tiny_model, dense, masks, BlockwiseConfig(num_steps=0))
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny_model.model.state_dict().items())
    assert report.errors_after == report.errors_before
    assert report.num_steps == 0


def test_an_unpruned_model_is_already_healed(tiny_model: LoadedModel, dense: Dense) -> None:
    report = heal(tiny_model, dense, {})
    assert report.errors_before == report.errors_after == (0.0,) * dense.loaded.architecture.num_layers


@pytest.mark.parametrize("learning_rate", [0.03, 0.1])
def test_a_rate_that_is_too_high_leaves_each_block_no_worse(
    tiny_model: LoadedModel, dense: Dense, learning_rate: float
) -> None:
    masks = thin_out(tiny_model)
    before = dense.perplexity(tiny_model.model)
    report = heal(tiny_model, dense, masks, BlockwiseConfig(num_steps=24, learning_rate=learning_rate))
    assert all(after <= before for before, after in zip(report.errors_before, report.errors_after, strict=True))
    assert dense.perplexity(tiny_model.model) <= before * 1.1
    assert_masks_hold(tiny_model, masks)


def test_a_block_that_diverges_at_every_rate_is_named_and_put_back(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = thin_out(tiny_model)
    with torch.no_grad():
        tiny_model.model.get_parameter("model.layers.2.input_layernorm.weight")[0] = math.inf
    before = state_of(tiny_model)
    with pytest.raises(HealingDivergedError) as caught:
        heal(tiny_model, dense, masks)
    assert caught.value.code == "compress.healing_diverged"
    assert caught.value.fields == {"block": 2}
    after = tiny_model.model.state_dict()
    changed = {int(name.split(".")[2]) for name in before if not torch.equal(before[name], after[name])}
    assert changed == {0, 1}
    assert_masks_hold(tiny_model, masks)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in tiny_model.model.parameters())


def test_what_a_mask_drops_is_put_to_zero_even_if_it_came_alive(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = thin_out(tiny_model)
    with torch.no_grad():
        for path in masks:
            tiny_model.model.get_parameter(f"{path}.weight").add_(0.01)
    heal(tiny_model, dense, masks, BlockwiseConfig(num_steps=2))
    assert_masks_hold(tiny_model, masks)


@pytest.mark.parametrize("requires_grad", [True, False])
def test_gradients_and_whether_they_are_wanted_are_left_as_they_were(
    tiny_model: LoadedModel, dense: Dense, requires_grad: bool
) -> None:
    masks = thin_out(tiny_model)
    tiny_model.model.requires_grad_(requires_grad)
    heal(tiny_model, dense, masks, BlockwiseConfig(num_steps=4))
    assert {parameter.requires_grad for parameter in tiny_model.model.parameters()} == {requires_grad}
    assert all(parameter.grad is None for parameter in tiny_model.model.parameters())


def test_fewer_windows_than_a_batch_will_do_and_none_is_an_error(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = thin_out(tiny_model)
    report = heal(
        tiny_model, dense, masks, BlockwiseConfig(num_steps=4, batch_size=64), windows_NT=dense.healing_NT[:1]
    )
    assert sum(report.errors_after) < sum(report.errors_before)
    with pytest.raises(NoCalibrationDataError):
        heal(tiny_model, dense, masks, windows_NT=dense.healing_NT[:0])


def test_each_block_reports_its_error_and_its_progress(tiny_model: LoadedModel, dense: Dense) -> None:
    sink, seen = MemorySink(), []
    report = heal(
        tiny_model,
        dense,
        thin_out(tiny_model),
        BlockwiseConfig(num_steps=4),
        sink=sink,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert tuple(sink.values("healing_error")) == report.errors_after
    assert [row.step for row in sink.rows] == [0, 1, 2, 3]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@law
@given(num_steps=st.integers(0, 1000), num_blocks=st.integers(1, 50))
def test_steps_are_spread_evenly_and_none_is_lost(num_steps: int, num_blocks: int) -> None:
    steps = blockwise._steps_per_block(num_steps, num_blocks)
    assert sum(steps) == num_steps
    assert max(steps) - min(steps) <= 1


def test_blocks_after_a_stop_stay_as_they_are(tiny_model: LoadedModel, dense: Dense) -> None:
    masks, seen = thin_out(tiny_model), []
    before = state_of(tiny_model)
    report = heal(
        tiny_model,
        dense,
        masks,
        progress=lambda done, total: seen.append(done),
        should_stop=lambda: len(seen) == 2,
    )
    assert len(report.errors_after) == 2
    after = tiny_model.model.state_dict()
    changed = {int(name.split(".")[2]) for name in before if not torch.equal(before[name], after[name])}
    assert changed == {0, 1}
