"""Whatever way is named: what did not help on windows held back is undone, and what does not fit is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.compress.conftest import Dense
from tests.compress.healing.pruned import assert_masks_hold, changed_by, state_of, thin_out

from birdbone.compress.config import BlockwiseConfig, DistillConfig, HealConfig, LoraConfig, QloraConfig
from birdbone.compress.errors import ModelsDifferError, NoCalibrationDataError, NoZerosError, TooFewWindowsError
from birdbone.compress.healing import HealReport, heal_model, masks_of_zeros
from birdbone.compress.waves import Masks
from birdbone.models import LayerKeep, LoadedModel, shrink_model

pytestmark = pytest.mark.usefixtures("dense_stays")

SHORT: dict[str, Any] = {"num_steps": 8, "batch_size": 4}
WAYS: dict[str, HealConfig] = {
    "blockwise": BlockwiseConfig(**SHORT, learning_rate=1e-3),
    "distill": DistillConfig(**SHORT, learning_rate=1e-3),
    "lora": LoraConfig(**SHORT, rank=2, learning_rate=3e-3),
    "qlora": QloraConfig(**SHORT, rank=2, learning_rate=3e-3, merges_onto="float"),
}


def heal(pruned: LoadedModel, dense: Dense, masks: Masks, config: HealConfig, **given: Any) -> HealReport:
    return heal_model(
        pruned.model,
        dense.loaded.model,
        pruned.architecture,
        windows_NT=given.pop("windows_NT", dense.healing_NT),
        masks=masks,
        config=config,
        **given,
    )


@pytest.mark.parametrize("way", WAYS)
def test_each_way_wins_back_on_windows_that_it_did_not_learn_from(
    tiny_model: LoadedModel, dense: Dense, way: str
) -> None:
    masks = thin_out(tiny_model)
    report = heal(tiny_model, dense, masks, WAYS[way], deciding_NT=dense.heldout_NT[:4])
    assert report.kind == way
    assert report.loss_before is not None
    assert report.loss_after is not None
    assert report.loss_after < report.loss_before
    assert report.is_kept
    assert report.cpu_seconds > 0
    assert_masks_hold(tiny_model, masks)


@pytest.mark.parametrize("way", ["distill", "lora", "qlora"])
def test_what_did_not_help_is_undone(tiny_model: LoadedModel, dense: Dense, way: str) -> None:
    masks = thin_out(tiny_model)
    before = state_of(tiny_model)
    config = WAYS[way].model_copy(update={"learning_rate": 0.1, "num_warmup_steps": 0, "alpha": 400.0})
    report = heal(tiny_model, dense, masks, config)
    assert not report.is_kept
    assert report.loss_before is not None
    assert report.loss_after is not None
    assert report.loss_after > report.loss_before
    assert changed_by(before, tiny_model) == set()


def test_windows_are_held_back_unless_others_are_given(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = thin_out(tiny_model)
    config = DistillConfig(num_steps=1, num_deciding_windows=15, batch_size=4)
    assert heal(tiny_model, dense, masks, config).num_tokens == 64  # one of 16 windows is left
    assert heal(tiny_model, dense, masks, config, deciding_NT=dense.heldout_NT[:1]).num_tokens == 4 * 64


def test_block_by_block_nothing_is_held_back(tiny_model: LoadedModel, dense: Dense) -> None:
    report = heal(tiny_model, dense, thin_out(tiny_model), WAYS["blockwise"])
    assert (report.loss_before, report.loss_after, report.is_kept) == (None, None, True)


@pytest.mark.parametrize("way", WAYS)
def test_no_windows_is_an_error(tiny_model: LoadedModel, dense: Dense, way: str) -> None:
    with pytest.raises(NoCalibrationDataError):
        heal(tiny_model, dense, {}, WAYS[way], windows_NT=dense.healing_NT[:0])


def test_windows_that_are_all_held_back_are_an_error(tiny_model: LoadedModel, dense: Dense) -> None:
    with pytest.raises(TooFewWindowsError, match="Of 2 healing windows 2 are held back") as caught:
        heal(tiny_model, dense, {}, WAYS["distill"], windows_NT=dense.healing_NT[:2])
    assert caught.value.code == "compress.too_few_windows"


def test_a_dense_model_of_other_shapes_and_a_mask_of_another_linear_are_refused(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    masks = thin_out(tiny_model)
    path = tiny_model.architecture.linear_paths[0]
    with pytest.raises(ModelsDifferError, match=f"The mask of {path} is 1 x 2"):
        heal(tiny_model, dense, {path: torch.ones(1, 2, dtype=torch.bool)}, WAYS["distill"])
    embedding = tiny_model.model.get_input_embeddings()
    embedding.weight = torch.nn.Parameter(embedding.weight[:500].detach().clone())
    with pytest.raises(ModelsDifferError, match="is 500 x 64 in the pruned model and 512 x 64 in the dense") as caught:
        heal(tiny_model, dense, masks, WAYS["blockwise"])
    assert caught.value.code == "compress.models_differ"


def test_a_model_that_lost_a_layer_learns_from_the_predictions_but_not_block_by_block(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    shrunk = shrink_model(
        tiny_model.model, tiny_model.architecture, {0: LayerKeep(neurons=tuple(range(96)))}, layers=[0, 1, 3]
    )
    cut = replace(tiny_model, architecture=shrunk.architecture)
    report = heal(cut, dense, {}, WAYS["distill"])
    assert report.loss_before is not None
    assert report.loss_after is not None
    assert report.loss_after < report.loss_before
    with pytest.raises(ModelsDifferError, match="has 3 layers and the dense one 4"):
        heal(cut, dense, {}, WAYS["blockwise"])


def test_zeros_are_the_mask_and_a_model_without_any_has_none(tiny_model: LoadedModel) -> None:
    with pytest.raises(NoZerosError) as caught:
        masks_of_zeros(tiny_model.model, tiny_model.architecture)
    assert caught.value.code == "compress.no_zeros"
    masks = thin_out(tiny_model)
    found = masks_of_zeros(tiny_model.model, tiny_model.architecture)
    assert found.keys() == masks.keys()
    assert all(torch.equal(found[path], masks[path]) for path in masks)
