"""Healing by adapters: the loss falls, the zeros stay, and what is left is a plain model again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.compress.conftest import Dense
from tests.compress.healing.pruned import assert_masks_hold, changed_by, state_of, thin_out, won_back
from tests.compress.matrices import draw_mask
from torch import nn

from birdbone.compress.config import LoraConfig, QloraConfig
from birdbone.compress.errors import HealingDivergedError, RankError
from birdbone.compress.healing import HealReport, MaskedLora, heal_by_adapters
from birdbone.compress.waves import Masks
from birdbone.models import LoadedModel, load_model

pytestmark = pytest.mark.usefixtures("dense_stays")

STEPS: dict[str, Any] = {"num_steps": 24, "batch_size": 4, "learning_rate": 5e-3, "rank": 4, "distill_share": 1.0}
CONFIGS = {
    "lora": LoraConfig(**STEPS),
    "qlora": QloraConfig(**STEPS),
    "qlora on q4_0": QloraConfig(**STEPS, base="q4_0", merges_onto="base"),
    "lora with norms": LoraConfig(**STEPS, should_train_norms=True),
    "lora by severity": LoraConfig(**STEPS, intensity="severity"),
}


def heal(pruned: LoadedModel, dense: Dense, masks: Masks, config: LoraConfig | QloraConfig, **given: Any) -> HealReport:
    return heal_by_adapters(
        pruned.model,
        dense.loaded.model,
        pruned.architecture,
        windows_NT=dense.healing_NT,
        masks=masks,
        config=config,
        **given,
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_the_loss_falls_and_no_zero_is_revived(tiny_model: LoadedModel, dense: Dense, name: str) -> None:
    masks = thin_out(tiny_model)
    before = dense.perplexity(tiny_model.model)
    report = heal(tiny_model, dense, masks, CONFIGS[name])
    assert report.losses[0][-1] < 0.95 * report.losses[0][0]
    assert won_back(dense, before, tiny_model) > 0.2
    assert_masks_hold(tiny_model, masks)
    assert not any(isinstance(module, MaskedLora) for module in tiny_model.model.modules())
    assert (report.num_steps, report.num_tokens) == (24, 24 * 4 * 64)


def test_only_linears_of_the_roles_learn_and_norms_only_if_asked(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = thin_out(tiny_model)
    before = state_of(tiny_model)
    report = heal(tiny_model, dense, masks, LoraConfig(num_steps=3, roles=("q", "v"), rank=2))
    assert {name.split(".")[-2] for name in changed_by(before, tiny_model)} == {"q_proj", "v_proj"}
    assert report.num_learned == 4 * 2 * ((64 + 64) + (64 + 32))
    before = state_of(tiny_model)
    heal(tiny_model, dense, masks, LoraConfig(num_steps=3, roles=("q",), rank=2, should_train_norms=True))
    norms = {"input_layernorm", "post_attention_layernorm", "norm"}
    assert {name.split(".")[-2] for name in changed_by(before, tiny_model)} == {"q_proj", *norms}


def test_ranks_by_severity_have_the_same_mean_and_favour_the_damaged_layer(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    masks, learned = {}, []
    for path in tiny_model.architecture.linear_paths:
        weight_FD = tiny_model.model.get_parameter(f"{path}.weight")
        masks[path] = draw_mask(0, *weight_FD.shape, keep=0.3 if ".layers.2." in path else 0.99)
        with torch.no_grad():
            weight_FD.mul_(masks[path])
    config = LoraConfig(num_steps=1, rank=6, intensity="severity", roles=("up",))
    heal(tiny_model, dense, masks, config, keep_adapters=learned.append)
    ranks = [adapter.rank for adapter in learned[0].adapters.values()]
    assert sum(ranks) == 4 * 6
    assert ranks[2] == max(ranks) > min(ranks)


@pytest.mark.parametrize("config", [CONFIGS["lora"], CONFIGS["qlora"]], ids=["lora", "qlora"])
def test_a_seed_gives_the_same_bits_and_another_gives_others(
    tiny_model_folder: Any, dense: Dense, config: LoraConfig | QloraConfig
) -> None:
    states = []
    for seed in (0, 0, 1):
        loaded = load_model(str(tiny_model_folder))
        heal(loaded, dense, thin_out(loaded), config.model_copy(update={"seed": seed, "num_steps": 3}))
        states.append(state_of(loaded))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (LoraConfig(rank=33), "takes ranks from 1 to 32; 33 came"),
        (LoraConfig(roles=("qkv", "gate_up")), "no linear of the roles qkv, gate_up"),
    ],
)
def test_what_the_model_cannot_have_is_refused_and_changes_nothing(
    tiny_model: LoadedModel, dense: Dense, config: LoraConfig, words: str
) -> None:
    masks, before = thin_out(tiny_model), state_of(tiny_model)
    with pytest.raises(RankError, match=words):
        heal(tiny_model, dense, masks, config)
    assert changed_by(before, tiny_model) == set()


def test_a_loss_that_is_never_finite_takes_the_adapters_out_again(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = thin_out(tiny_model)
    with torch.no_grad():
        tiny_model.model.get_parameter("model.norm.weight")[0] = torch.inf
    before = state_of(tiny_model)
    with pytest.raises(HealingDivergedError):
        heal(tiny_model, dense, masks, CONFIGS["lora"])
    assert changed_by(before, tiny_model) == set()
    assert all(type(tiny_model.model.get_submodule(path)) is nn.Linear for path in masks)
