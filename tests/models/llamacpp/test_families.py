"""Every family that is exported runs in llama.cpp as in torch: random tiny models, F32 files, logits compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.models.llamacpp.families import CONFIGS, byte_tokenizer, engine_logits, random_model, torch_logits
from transformers import AutoModelForCausalLM, OPTConfig

from birdbone.models.gguf import FAMILIES, GgufType, UnsupportedExportError, quantize_tensor, write_gguf


def test_every_family_has_a_case_here() -> None:
    assert {config.model_type for config in CONFIGS.values()} == set(FAMILIES)


@pytest.mark.parametrize("case", CONFIGS)
def test_llama_cpp_computes_what_torch_computes(case: str, tmp_path: Path) -> None:
    model = random_model(CONFIGS[case])
    write_gguf(
        tmp_path / "m.gguf",
        model_config=model.config,
        state_tensors=model.state_dict(),
        tokenizer=byte_tokenizer(),
        default_type=GgufType.F32,
    )
    expected = torch_logits(model)
    assert np.abs(engine_logits(tmp_path / "m.gguf") - expected).max() < 0.02 * expected.std()


@pytest.mark.parametrize("case", ["llama", "qwen2", "gpt_neox", "phi3"])
def test_quantized_rows_are_reordered_as_plain_ones(case: str, tmp_path: Path) -> None:
    """The file of codes must act as torch does on the dequantized weights; llama.cpp itself rounds the activations."""
    model = random_model(CONFIGS[case])
    state = model.state_dict()
    coded = {
        name: quantize_tensor(tensor, GgufType.Q8_0)
        for name, tensor in state.items()
        if ".layers." in name and tensor.ndim == 2
    }
    write_gguf(
        tmp_path / "m.gguf",
        model_config=model.config,
        state_tensors=state | coded,
        tokenizer=byte_tokenizer(),
        default_type=GgufType.F32,
    )
    model.load_state_dict(state | {name: tensor.dequantize() for name, tensor in coded.items()})
    expected = torch_logits(model)
    assert np.abs(engine_logits(tmp_path / "m.gguf") - expected).mean() < 0.05 * expected.std()


def test_opt_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    config = OPTConfig(vocab_size=256, hidden_size=64, ffn_dim=96, num_hidden_layers=1, num_attention_heads=4)
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(UnsupportedExportError, match="'opt'"):
        write_gguf(
            tmp_path / "m.gguf", model_config=config, state_tensors=model.state_dict(), tokenizer=byte_tokenizer()
        )
    assert not list(tmp_path.iterdir())
