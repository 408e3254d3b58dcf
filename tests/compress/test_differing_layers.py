"""What walks the layers of a model works where they differ, and where parts of them are gone."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from birdbone.compress.config import BlockwiseConfig, RoundingConfig
from birdbone.compress.healing import heal_blocks
from birdbone.compress.quantize import quantize_linear
from birdbone.compress.statistics import collect_statistics, statistics_from_tensors, statistics_to_tensors
from birdbone.compress.waves import full_masks
from birdbone.models import Architecture, LayerKeep, describe_architecture, shrink_model
from birdbone.models.gguf import GgufType

WINDOWS_NT = torch.randint(3, 96, (4, 12), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def shrunk() -> tuple[LlamaForCausalLM, Architecture]:
    torch.manual_seed(0)
    sizes = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)).eval()
    keeps = {
        0: LayerKeep(kv_groups=()),
        1: LayerKeep(neurons=()),
        2: LayerKeep(kv_groups=(), neurons=()),
        3: LayerKeep(neurons=tuple(range(32)), query_heads=(1, 3)),
    }
    return model, shrink_model(model, describe_architecture(model), keeps).architecture


def test_statistics_are_taken_of_what_is_left(shrunk: tuple[LlamaForCausalLM, Architecture]) -> None:
    model, architecture = shrunk
    statistics = collect_statistics(model, architecture, WINDOWS_NT)
    assert set(statistics) == {*architecture.linear_paths, "lm_head"}
    assert statistics["model.layers.3.mlp.down_proj"].gram_DD.shape == (32, 32)
    assert statistics["model.layers.3.self_attn.o_proj"].gram_DD.shape == (16, 16)
    kept = statistics_to_tensors(statistics, architecture)
    again = statistics_from_tensors(kept, architecture, num_tokens=WINDOWS_NT.numel())
    assert again.keys() == statistics.keys()
    rounded = quantize_linear(
        model.get_parameter("model.layers.3.mlp.down_proj.weight").detach(),
        statistics["model.layers.3.mlp.down_proj"],
        kind=GgufType.Q4_0,
        mask_FD=None,
        config=RoundingConfig(),
    )
    assert rounded.shape == (32, 32)


def test_blocks_are_healed_and_an_empty_one_is_passed_by(shrunk: tuple[LlamaForCausalLM, Architecture]) -> None:
    model, architecture = shrunk
    dense = copy.deepcopy(model)
    masks = full_masks(model, architecture)
    with torch.no_grad():
        for path, mask_FD in masks.items():
            mask_FD[:, ::3] = False
            model.get_parameter(f"{path}.weight").mul_(mask_FD)
    report = heal_blocks(
        model,
        dense,
        architecture,
        windows_NT=WINDOWS_NT,
        masks=masks,
        config=BlockwiseConfig(num_steps=16, batch_size=2, learning_rate=1e-3),
    )
    assert len(report.errors_after) == 4
    assert all(after <= before for before, after in zip(report.errors_before, report.errors_after, strict=True))
    assert report.errors_after[3] < report.errors_before[3]
