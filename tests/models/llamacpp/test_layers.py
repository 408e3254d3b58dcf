"""A model whose layers differ, run by stock llama.cpp: what torch says, and the files that it would not run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.llamacpp.families import CONFIGS, byte_tokenizer, engine_logits, random_model, torch_logits
from transformers import PreTrainedModel

from birdbone.models import LayerKeep, LoadedModel, describe_architecture, shrink_model
from birdbone.models.gguf import (
    GgufReport,
    GgufType,
    UnsupportedExportError,
    quantize_tensor,
    read_gguf_summary,
    write_gguf,
)
from birdbone.models.llamacpp import compare_tokenizers, open_engine, probe_strings

FIRST = tuple(range(40))
CUTS = {
    "widths, groups, heads": {
        0: LayerKeep(neurons=tuple(range(33))),
        1: LayerKeep(kv_groups=(1,)),
        2: LayerKeep(query_heads=(0, 2)),
    },
    "blocks out": {0: LayerKeep(kv_groups=()), 1: LayerKeep(neurons=()), 3: LayerKeep(kv_groups=(), neurons=FIRST)},
    "an idle layer, a last one without feed-forward": {
        1: LayerKeep(neurons=(), kv_groups=()),
        3: LayerKeep(neurons=()),
    },
}


def shrunk(case: str, keeps: dict[int, LayerKeep], layers: list[int] | None = None) -> PreTrainedModel:
    config: Any = copy.deepcopy(CONFIGS[case])
    config.num_hidden_layers = 4
    if getattr(config, "layer_types", None):
        config.layer_types = ["full_attention"] * 4
    model = random_model(config)
    shrink_model(model, describe_architecture(model), keeps, layers=layers)
    return model


def export(model: PreTrainedModel, path: Path, **settings: Any) -> GgufReport:
    state = model.state_dict() | settings.pop("rounded", {})
    return write_gguf(
        path, model_config=model.config, state_tensors=state, tokenizer=byte_tokenizer(), default_type=GgufType.F32
    )


def assert_same(path: Path, model: PreTrainedModel) -> None:
    expected = torch_logits(model)
    assert np.abs(engine_logits(path) - expected).max() < 0.02 * expected.std()


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", ["llama", "llama-biases", "llama-3-rope", "mistral", "qwen2"])
def test_llama_cpp_computes_what_torch_computes_though_layers_differ(case: str, cut: str, tmp_path: Path) -> None:
    model = shrunk(case, CUTS[cut])
    export(model, tmp_path / "m.gguf")
    assert read_gguf_summary(tmp_path / "m.gguf").architecture == "deci"
    assert_same(tmp_path / "m.gguf", model)


@pytest.mark.parametrize("case", ["llama", "qwen2", "qwen3", "phi3", "gpt_neox"])
def test_a_model_that_is_narrower_in_all_layers_keeps_its_architecture(case: str, tmp_path: Path) -> None:
    model = shrunk(case, dict.fromkeys(range(4), LayerKeep(neurons=FIRST)), layers=[0, 3])
    report = export(model, tmp_path / "m.gguf")
    assert read_gguf_summary(tmp_path / "m.gguf").architecture == model.config.model_type.replace("_", "")
    assert report.limits == ()
    assert_same(tmp_path / "m.gguf", model)


@pytest.mark.parametrize(
    ("case", "arch"), [("llama", "llama"), ("qwen2", "deci"), ("qwen3", "qwen3"), ("gemma", "gemma")]
)
def test_fewer_heads_in_all_layers_run_too(case: str, arch: str, tmp_path: Path) -> None:
    model = shrunk(case, dict.fromkeys(range(4), LayerKeep(kv_groups=(1,))))
    export(model, tmp_path / "m.gguf")
    assert read_gguf_summary(tmp_path / "m.gguf").architecture == arch
    expected = torch_logits(model)
    assert np.abs(engine_logits(tmp_path / "m.gguf") - expected).max() < 0.04 * expected.std()


@pytest.mark.parametrize(
    ("case", "keeps", "message"),
    [
        ("qwen3", {0: LayerKeep(neurons=FIRST)}, "layers of this qwen3 model differ.*llama, mistral, qwen2"),
        ("gpt_neox", {0: LayerKeep(neurons=())}, "layers of this gpt_neox model differ"),
        ("phi3", dict.fromkeys(range(4), LayerKeep(kv_groups=(0,))), "phi3 only with all of its heads; 2 of them"),
        ("llama", dict.fromkeys(range(4), LayerKeep(kv_groups=(), neurons=())), "No layer of this model does anything"),
    ],
)
def test_what_llama_cpp_has_no_form_for_is_refused_before_a_byte_is_written(
    case: str, keeps: dict[int, LayerKeep], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedExportError, match=message):
        export(shrunk(case, keeps), tmp_path / "m.gguf")
    assert not list(tmp_path.iterdir())


def test_what_stands_in_for_a_missing_part_is_told(tmp_path: Path) -> None:
    limits = " ".join(export(shrunk("llama", CUTS["blocks out"]), tmp_path / "a.gguf").limits)
    assert "a head of zeros" in limits
    assert "32 neurons of zeros" in limits
    idle = export(shrunk("llama", {2: LayerKeep(neurons=(), kv_groups=())}), tmp_path / "b.gguf")
    assert idle.limits == ("Layer 2 does nothing and is left out.",)
    assert read_gguf_summary(tmp_path / "b.gguf").architecture == "llama"


def test_rounded_rows_of_differing_layers_are_reordered_as_plain_ones(tmp_path: Path) -> None:
    model = shrunk("llama", {0: LayerKeep(neurons=tuple(range(64))), 1: LayerKeep(kv_groups=(1,))})
    state = model.state_dict()
    rounded = {
        name: quantize_tensor(tensor, GgufType.Q8_0)
        for name, tensor in state.items()
        if ".layers." in name and tensor.ndim == 2 and tensor.shape[1] % 32 == 0
    }
    export(model, tmp_path / "m.gguf", rounded=rounded)
    model.load_state_dict(state | {name: tensor.dequantize() for name, tensor in rounded.items()})
    expected = torch_logits(model)
    assert np.abs(engine_logits(tmp_path / "m.gguf") - expected).mean() < 0.05 * expected.std()


def test_the_trained_model_keeps_its_perplexity_and_its_tokens(tiny_model: LoadedModel, tmp_path: Path) -> None:
    keeps = {1: LayerKeep(neurons=tuple(range(96))), 2: LayerKeep(kv_groups=()), 3: LayerKeep(query_heads=(0, 2))}
    shrink_model(tiny_model.model, tiny_model.architecture, keeps)
    write_gguf(
        tmp_path / "m.gguf",
        model_config=tiny_model.model.config,
        state_tensors=tiny_model.model.state_dict(),
        tokenizer=tiny_model.tokenizer,
    )
    text = "It was the best of times, it was the worst of times; there were 12 of us.\n\n" * 8
    ids = tiny_model.tokenizer(text)["input_ids"][:200]
    with open_engine(tmp_path / "m.gguf", num_ctx=256, num_threads=1) as engine:
        theirs = float(np.exp(engine.nll(ids).mean()))
        assert compare_tokenizers(engine, tiny_model.tokenizer, probe_strings(300, seed=0, texts=[text])) == []
    with torch.inference_mode():
        ours = float(tiny_model.model(torch.tensor([ids]), labels=torch.tensor([ids])).loss.exp())
    assert theirs == pytest.approx(ours, rel=1e-3)
