"""Keys from configs."""

from __future__ import annotations

import pytest
import torch
from transformers import GemmaConfig, LlamaConfig, MistralConfig, Qwen3Config
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from birdbone.models.gguf import GgufType, UnsupportedExportError
from birdbone.models.gguf.container import Uint32
from birdbone.models.gguf.metadata import describe_limits, general_metadata, model_metadata, rope_factor_tensor
from birdbone.models.gguf.names import family_of

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def test_a_llama_config_becomes_its_keys() -> None:
    keys = model_metadata(
        LlamaConfig(
            num_attention_heads=32, num_key_value_heads=8, rope_parameters={"rope_type": "default", "rope_theta": 1e5}
        )
    )
    assert keys["llama.block_count"] == Uint32(32)
    assert keys["llama.attention.head_count_kv"] == Uint32(8)
    assert keys["llama.rope.dimension_count"] == Uint32(128)
    assert keys["llama.rope.freq_base"] == 1e5
    assert "llama.attention.key_length" not in keys


def test_a_head_width_of_its_own_is_said() -> None:
    assert model_metadata(Qwen3Config(head_dim=96))["qwen3.attention.key_length"] == Uint32(96)
    assert model_metadata(GemmaConfig())["gemma.attention.value_length"] == Uint32(256)


def test_llama_3_frequency_divisors_are_those_of_transformers() -> None:
    scaled = LlamaConfig(hidden_size=256, num_attention_heads=2, rope_parameters=LLAMA3_ROPE)
    plain = LlamaConfig(
        hidden_size=256, num_attention_heads=2, rope_parameters={"rope_type": "default", "rope_theta": 500000.0}
    )
    divisors = rope_factor_tensor(scaled)
    assert divisors is not None
    expected = LlamaRotaryEmbedding(plain).inv_freq / LlamaRotaryEmbedding(scaled).inv_freq
    torch.testing.assert_close(divisors, expected, rtol=1e-5, atol=0)
    assert rope_factor_tensor(plain) is None


def test_a_sliding_window_bounds_the_promised_context_and_is_told() -> None:
    config = MistralConfig(sliding_window=4096, max_position_embeddings=32768)
    assert model_metadata(config)["llama.context_length"] == Uint32(4096)
    assert "4096 tokens" in describe_limits(config, family_of("mistral"))[0]
    assert describe_limits(MistralConfig(sliding_window=None), family_of("mistral")) == ()


def test_what_llama_cpp_would_compute_otherwise_is_refused() -> None:
    with pytest.raises(UnsupportedExportError, match="'relu'"):
        model_metadata(LlamaConfig(hidden_act="relu"))
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    with pytest.raises(UnsupportedExportError, match="'dynamic'"):
        model_metadata(LlamaConfig(rope_parameters=rope))


def test_general_keys_leave_out_what_is_not_known() -> None:
    keys = general_metadata("llama", name="", license_name="apache-2.0", main_type=GgufType.Q4_0)
    assert "general.name" not in keys
    assert keys["general.license"] == "apache-2.0"
    assert keys["general.file_type"] == Uint32(2)
