"""A model whose layers differ comes back from its folder bit for bit; transformers alone never opens it wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from birdbone.core import digest_file
from birdbone.models import (
    CorruptCheckpointError,
    LayerKeep,
    LoadedModel,
    describe_architecture,
    load_model,
    save_model,
    shrink_model,
)
from birdbone.models.families import FAMILIES

MakeTiny = Callable[..., PreTrainedModel]
KEEPS = {
    0: LayerKeep(neurons=tuple(range(20)), kv_groups=(1,)),
    1: LayerKeep(kv_groups=()),
    2: LayerKeep(neurons=(), query_heads=(0, 2)),
}
TOKENS = torch.randint(3, 500, (2, 9), generator=torch.Generator().manual_seed(1))


def shrunk(make_tiny: MakeTiny, family: str = "llama", keeps: dict[int, LayerKeep] = KEEPS) -> PreTrainedModel:
    model = make_tiny(family, vocab_size=512)
    shrink_model(model, describe_architecture(model), keeps)
    return model


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(TOKENS).logits
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_bit_of_a_model_whose_layers_differ_comes_back(
    family: str, make_tiny: MakeTiny, tiny_model: LoadedModel, tmp_path: Path
) -> None:
    model = shrunk(make_tiny, family)
    folder = save_model(model, tiny_model.tokenizer, tmp_path / "model")
    again = load_model(str(folder))
    first, second = model.state_dict(), again.model.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(logits(model), logits(again.model))
    assert again.architecture == describe_architecture(model)
    twice = save_model(again.model, again.tokenizer, tmp_path / "twice")
    assert digest_file(folder / "config.json") == digest_file(twice / "config.json")
    assert digest_file(folder / "model.safetensors") == digest_file(twice / "model.safetensors")


@pytest.mark.parametrize("keeps", [KEEPS, {1: LayerKeep(kv_groups=())}, {1: LayerKeep(neurons=())}])
def test_transformers_alone_refuses_it_instead_of_filling_the_gaps(
    keeps: dict[int, LayerKeep], make_tiny: MakeTiny, tiny_model: LoadedModel, tmp_path: Path
) -> None:
    folder = save_model(shrunk(make_tiny, keeps=keeps), tiny_model.tokenizer, tmp_path / "model")
    with pytest.raises(RuntimeError, match="per-layer attribute"):
        AutoModelForCausalLM.from_pretrained(folder)
    assert "from birdbone.models import load_model" in (folder / "README.md").read_text()


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3", "gpt_neox"])
def test_a_uniform_cut_is_a_plain_model_for_transformers_too(
    family: str, make_tiny: MakeTiny, tiny_model: LoadedModel, tmp_path: Path
) -> None:
    keep = LayerKeep(neurons=tuple(range(16)), kv_groups=None if family == "gpt_neox" else (1,))
    model = shrunk(make_tiny, family, dict.fromkeys(range(3), keep))
    folder = save_model(model, tiny_model.tokenizer, tmp_path / "model")
    assert "per_layer_config" not in json.loads((folder / "config.json").read_text())
    assert not (folder / "README.md").exists()
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(folder)), logits(model))


def test_a_readme_that_is_there_stays(make_tiny: MakeTiny, tiny_model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "README.md").write_text("mine")
    save_model(shrunk(make_tiny), tiny_model.tokenizer, tmp_path / "model")
    assert (tmp_path / "model" / "README.md").read_text() == "mine"


def test_a_single_weight_file_and_another_dtype_load_as_well(
    make_tiny: MakeTiny, tiny_model: LoadedModel, tmp_path: Path
) -> None:
    model = shrunk(make_tiny)
    folder = save_model(model, tiny_model.tokenizer, tmp_path / "model")
    again = load_model(str(folder / "model.safetensors"), dtype=torch.bfloat16)
    assert again.model.dtype == torch.bfloat16
    expected = model.state_dict()
    assert all(torch.equal(t, expected[name].bfloat16()) for name, t in again.model.state_dict().items())


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"7": {"intermediate_size": 8}}, "names layer 7 of 3"),
        ({"0": {"intermediate_size": 0}}, "size of 0; 1 to 48 was expected"),
        ({"0": {"intermediate_size": 49}}, "size of 49; 1 to 48"),
        ({"0": {"num_attention_heads": 3}}, "2 key-value heads cannot share 3"),
        ({"0": {"num_key_value_heads": "two"}}, "size of 'two'"),
        ({"0": {"sliding_window": 4}}, "not understood"),
        ({"0": {"skip": ["norm"]}}, "not understood"),
        ({"0": {"intermediate_size": 8}}, "mlp.gate_proj.weight has shape"),
        ({"1": {"skip": ["attention"]}}, "knows nothing of"),
    ],
)
def test_entries_that_do_not_fit_the_weights_are_named(
    entries: dict[str, Any], message: str, make_tiny: MakeTiny, tiny_model: LoadedModel, tmp_path: Path
) -> None:
    folder = save_model(make_tiny("llama", vocab_size=512), tiny_model.tokenizer, tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"per_layer_config": entries}))
    with pytest.raises(CorruptCheckpointError, match=message):
        load_model(str(folder))
