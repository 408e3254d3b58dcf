"""Tiny random causal models of each supported family, built from their configs alone."""

from __future__ import annotations

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GemmaConfig,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

VOCAB = 97
CONTEXT = 64

_SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GATED = {**_SIZES, "intermediate_size": 64, "num_key_value_heads": 2}

FAMILIES: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**_GATED),
    "llama_tied": LlamaConfig(**_GATED, tie_word_embeddings=True),
    "mistral": MistralConfig(**_GATED, sliding_window=16),
    "qwen2": Qwen2Config(**_GATED),
    "qwen3": Qwen3Config(**_GATED, head_dim=8),
    "gemma": GemmaConfig(**_GATED, head_dim=8),
    "gemma2": Gemma2Config(**_GATED, head_dim=8, final_logit_softcapping=0.5),
    "phi3": Phi3Config(**_GATED),
    "gpt_neox": GPTNeoXConfig(**_SIZES, intermediate_size=64),
    "granite": GraniteConfig(**_GATED, logits_scaling=4.0),
    "opt": OPTConfig(**_SIZES, ffn_dim=64, word_embed_proj_dim=16),
}


def tiny_model(family: str = "llama", *, seed: int = 0) -> nn.Module:
    """Return a float32 model in evaluation mode, with weights large enough that its logits are not all alike."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(FAMILIES[family])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    return model.float().eval()
