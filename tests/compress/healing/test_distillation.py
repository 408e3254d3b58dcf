"""Distillation brings the predictions of the whole model back, keeps every mask, and touches only the decoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.compress.conftest import Dense
from tests.compress.healing.pruned import assert_masks_hold, changed_by, state_of, thin_out, won_back

from birdbone.compress.config import DistillConfig
from birdbone.compress.errors import HealingDivergedError
from birdbone.compress.healing import HealReport, distill
from birdbone.compress.waves import Masks
from birdbone.models import LoadedModel, load_model
from birdbone.watch import MemorySink

pytestmark = pytest.mark.usefixtures("dense_stays")

CONFIG = DistillConfig(num_steps=16, batch_size=4, learning_rate=1e-3, distill_share=1.0)


def heal(pruned: LoadedModel, dense: Dense, masks: Masks, config: DistillConfig = CONFIG, **given: Any) -> HealReport:
    return distill(
        pruned.model,
        dense.loaded.model,
        pruned.architecture,
        windows_NT=dense.healing_NT,
        masks=masks,
        config=config,
        **given,
    )


def test_it_lowers_loss_and_perplexity_and_revives_nothing(tiny_model: LoadedModel, dense: Dense) -> None:
    masks, sink, seen = thin_out(tiny_model), MemorySink(), []
    before = dense.perplexity(tiny_model.model)
    report = heal(tiny_model, dense, masks, sink=sink, progress=lambda done, total: seen.append((done, total)))
    assert report.losses[0][-1] < 0.8 * report.losses[0][0]
    assert won_back(dense, before, tiny_model) > 0.2
    assert_masks_hold(tiny_model, masks)
    assert (report.kind, report.num_steps, report.num_tokens) == ("distill", 16, 16 * 4 * 64)
    assert tuple(sink.values("healing_loss")) == report.losses[0]
    assert seen == [(done, 16) for done in range(1, 17)]


def test_only_the_decoder_learns_and_what_is_counted_is_what_the_masks_left(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    masks = thin_out(tiny_model)
    before = state_of(tiny_model)
    report = heal(tiny_model, dense, masks)
    assert changed_by(before, tiny_model) == {name for name in before if "embed" not in name and "lm_head" not in name}
    numbers = sum(tensor.numel() for name, tensor in before.items() if "embed" not in name and "lm_head" not in name)
    assert report.num_learned == numbers - sum(int((~mask_FD).sum()) for mask_FD in masks.values())
    assert all(parameter.grad is None for parameter in tiny_model.model.parameters())
    assert {parameter.requires_grad for parameter in tiny_model.model.parameters()} == {True}


def test_the_same_healing_gives_the_same_bits(tiny_model_folder: Any, dense: Dense) -> None:
    states = []
    for _ in range(2):
        loaded = load_model(str(tiny_model_folder))
        heal(loaded, dense, thin_out(loaded))
        states.append(state_of(loaded))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_stop_ends_it_and_keeps_what_was_learned(tiny_model: LoadedModel, dense: Dense) -> None:
    masks, seen = thin_out(tiny_model), []
    before = state_of(tiny_model)
    report = heal(
        tiny_model,
        dense,
        masks,
        progress=lambda done, _total: seen.append(done),
        should_stop=lambda: len(seen) == 3,
    )
    assert report.num_steps == len(report.losses[0]) == 3
    assert changed_by(before, tiny_model) != set()
    assert_masks_hold(tiny_model, masks)


def test_a_loss_that_is_never_finite_is_an_error_and_leaves_the_model(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = thin_out(tiny_model)
    with torch.no_grad():
        tiny_model.model.get_parameter("model.norm.weight")[0] = torch.inf
    before = state_of(tiny_model)
    with pytest.raises(HealingDivergedError) as caught:
        heal(tiny_model, dense, masks)
    assert caught.value.code == "compress.healing_diverged"
    assert changed_by(before, tiny_model) == set()
