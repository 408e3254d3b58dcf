"""A random tiny model of every exported family, its tokenizer, and its logits by torch and by llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from birdbone.models.llamacpp import open_engine

NUM_TOKENS = 48
SIZES: dict[str, Any] = {
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
CONFIGS = {
    "llama": LlamaConfig(**GROUPED, tie_word_embeddings=False),
    "llama-tied": LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "llama-3-rope": LlamaConfig(**GROUPED, rope_parameters=LLAMA3_ROPE),
    "llama-linear-rope": LlamaConfig(**GROUPED, rope_parameters=LINEAR_ROPE),
    "llama-biases": LlamaConfig(**GROUPED, attention_bias=True, mlp_bias=True),
    "mistral": MistralConfig(**GROUPED, sliding_window=None),
    "qwen2": Qwen2Config(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=32),
    "gemma": GemmaConfig(**GROUPED, head_dim=32),
    "phi3": Phi3Config(**GROUPED),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "gpt_neox-serial-tied": GPTNeoXConfig(**SIZES, use_parallel_residual=False, tie_word_embeddings=True),
}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    vocab = {letter: index for index, letter in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def random_model(config: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return model


def token_ids() -> list[int]:
    return torch.randint(3, 256, (NUM_TOKENS,), generator=torch.Generator().manual_seed(1)).tolist()


def torch_logits(model: PreTrainedModel) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.tensor([token_ids()])).logits[0].numpy()


def engine_logits(path: Path) -> np.ndarray:
    with open_engine(path, num_ctx=64, num_threads=1) as engine:
        return engine.logits(token_ids())
