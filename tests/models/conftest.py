"""Random tiny models of every family, with weights large enough that each part matters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

_SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GROUPED: dict[str, Any] = {**_SIZES, "num_key_value_heads": 2, "intermediate_size": 48}

CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaConfig(**_GROUPED, tie_word_embeddings=True),
    "mistral": lambda: MistralConfig(**_GROUPED, sliding_window=5),
    "qwen2": lambda: Qwen2Config(**_GROUPED, use_sliding_window=True, sliding_window=5, max_window_layers=1),
    "qwen3": lambda: Qwen3Config(**_GROUPED, head_dim=16),
    "gemma": lambda: GemmaConfig(**_GROUPED, head_dim=16),
    "gemma2": lambda: Gemma2Config(**_GROUPED, head_dim=16, sliding_window=5),
    "gemma3": lambda: Gemma3TextConfig(
        **_GROUPED,
        head_dim=16,
        sliding_window=5,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
    ),
    "phi3": lambda: Phi3Config(**_GROUPED, sliding_window=5),
    "gpt_neox": lambda: GPTNeoXConfig(**_SIZES, intermediate_size=48),
    "opt": lambda: OPTConfig(**_SIZES, ffn_dim=48, word_embed_proj_dim=32),
}


def _make_tiny(family: str, **changes: Any) -> PreTrainedModel:
    """Return a random float32 model of `family` in eval mode; weights of spread 0.3, seeded."""
    torch.manual_seed(0)
    config = CONFIGS[family]()
    for name, value in changes.items():
        setattr(config, name, value)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.fixture
def make_tiny() -> Callable[..., PreTrainedModel]:
    """`make_tiny(family, **changes)` makes the model; `changes` are keys of its configuration."""
    return _make_tiny
