"""Where each tensor of a Hugging Face state dict goes in GGUF, family by family, and in which order its rows stand.

Two facts hide behind the names. Llama and Mistral store query and key rows with the two halves of each head apart;
llama.cpp rotates neighbouring pairs, so the rows are interleaved on the way. GPT-NeoX stores query, key and value head
by head; llama.cpp wants all queries, then all keys, then all values.
Source: llama.cpp `conversion/llama.py`, `gpt_neox.py`, `gemma.py`, `phi.py`, checked in llama.cpp itself by the tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from birdbone.models.gguf.errors import UnknownTensorError, UnsupportedExportError

RowOrder = Literal["as_is", "rotary_pairs", "fused_by_head"]

_LLAMA_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_QWEN3_LAYER = _LLAMA_LAYER | {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
_PHI3_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GPT_NEOX_LAYER = {
    "input_layernorm": "attn_norm",
    "attention.query_key_value": "attn_qkv",
    "attention.dense": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
}
_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_GPT_NEOX_OUTER = {
    "gpt_neox.embed_in": "token_embd",
    "gpt_neox.final_layer_norm": "output_norm",
    "embed_out": "output",
    "lm_head": "output",
}
_LAYER = re.compile(r"\.layers\.(\d+)\.(.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFamily:
    """How one family of models is written: its llama.cpp architecture, its names and its peculiarities."""

    arch: str
    layer_names: Mapping[str, str]
    outer_names: Mapping[str, str] = field(default_factory=lambda: _OUTER)
    row_orders: Mapping[str, RowOrder] = field(default_factory=dict)
    """GGUF names (without layer and suffix) whose rows are re-ordered."""
    norm_offset: float = 0.0
    """Added to norm weights: Gemma stores them minus one."""
    can_tie_head: bool = True
    """Whether llama.cpp takes the embedding where the file has no head."""
    has_fixed_heads: bool = False
    """Whether llama.cpp wants the heads together as wide as the hidden states."""


_ROTARY_PAIRS: Mapping[str, RowOrder] = {"attn_q": "rotary_pairs", "attn_k": "rotary_pairs"}
_FUSED_BY_HEAD: Mapping[str, RowOrder] = {"attn_qkv": "fused_by_head"}

FAMILIES: Mapping[str, GgufFamily] = {
    "llama": GgufFamily(arch="llama", layer_names=_LLAMA_LAYER, row_orders=_ROTARY_PAIRS),
    "mistral": GgufFamily(arch="llama", layer_names=_LLAMA_LAYER, row_orders=_ROTARY_PAIRS),
    "qwen2": GgufFamily(arch="qwen2", layer_names=_LLAMA_LAYER, has_fixed_heads=True),
    "qwen3": GgufFamily(arch="qwen3", layer_names=_QWEN3_LAYER),
    "gemma": GgufFamily(arch="gemma", layer_names=_LLAMA_LAYER, norm_offset=1.0),
    "phi3": GgufFamily(arch="phi3", layer_names=_PHI3_LAYER, has_fixed_heads=True),
    "gpt_neox": GgufFamily(
        arch="gptneox",
        layer_names=_GPT_NEOX_LAYER,
        outer_names=_GPT_NEOX_OUTER,
        row_orders=_FUSED_BY_HEAD,
        can_tie_head=False,
        has_fixed_heads=True,
    ),
}
"""Families by `model_type` of the Hugging Face config."""

_DECI = GgufFamily(arch="deci", layer_names=_LLAMA_LAYER, row_orders=_ROTARY_PAIRS)
LAYERED_FAMILIES: Mapping[str, GgufFamily] = {"llama": _DECI, "mistral": _DECI, "qwen2": _DECI}
"""How a model whose layers differ is written, by `model_type`; Qwen 2 is a Llama with biases that rotates by halves."""


def family_of(model_type: str) -> GgufFamily:
    """Return how a `model_type` is written.

    Raises:
        UnsupportedExportError: stock llama.cpp has no such architecture (OPT among them), or we do not write it.
    """
    if model_type not in FAMILIES:
        raise UnsupportedExportError(
            f"A model of type {model_type!r} cannot be exported to GGUF; supported: {', '.join(sorted(FAMILIES))}.",
            hint="Save it as safetensors instead; llama.cpp has no form for it."
            if model_type == "opt"
            else "Save it as safetensors instead.",
            model_type=model_type,
        )
    return FAMILIES[model_type]


def layer_of(name: str) -> int | None:
    """Return the layer that a state-dict or GGUF tensor name belongs to, or None for what stands outside the layers."""
    found = _LAYER.search(name) or re.match(r"blk\.(\d+)\.", name)
    return int(found.group(1)) if found else None


def gguf_name(name: str, family: GgufFamily) -> str:
    """Return the GGUF name of a state-dict tensor, such as `blk.3.attn_q.weight`.

    Raises:
        UnknownTensorError: the family's map has no place for it.
    """
    stem, _, suffix = name.rpartition(".")
    in_layer = _LAYER.search(stem)
    table = family.layer_names if in_layer else family.outer_names
    key = in_layer.group(2) if in_layer else stem
    if key not in table or suffix not in ("weight", "bias"):
        raise UnknownTensorError(f"Tensor {name!r} has no place in a {family.arch} GGUF file.", name=name)
    prefix = f"blk.{in_layer.group(1)}." if in_layer else ""
    return f"{prefix}{table[key]}.{suffix}"


def move_layer(name_in_gguf: str, positions: Mapping[int, int]) -> str:
    """Return the GGUF name of a tensor whose layer stands at another place in the file; others are as they were."""
    layer = layer_of(name_in_gguf)
    return name_in_gguf if layer is None else f"blk.{positions[layer]}.{name_in_gguf.split('.', 2)[2]}"


def row_order_of(name_in_gguf: str, family: GgufFamily) -> RowOrder:
    """Return how the rows of a tensor (weight or bias) are re-ordered on the way into the file."""
    return family.row_orders.get(name_in_gguf.split(".")[-2], "as_is")


def rotary_pair_order(num_rows: int, *, num_heads: int) -> Tensor:
    """Return the row order that puts element i of a head's first half beside element i of its second half.

    Row `r` of the result is row `order[r]` of the input. `num_heads` counts the heads in these rows, KV heads for
    keys.
    """
    halves = torch.arange(num_rows).reshape(num_heads, 2, num_rows // num_heads // 2)
    return halves.swapaxes(1, 2).reshape(-1)


def fused_by_head_order(num_rows: int, *, num_heads: int) -> Tensor:
    """Return the row order that turns (head, query|key|value, element) into (query|key|value, head, element)."""
    parts = torch.arange(num_rows).reshape(num_heads, 3, num_rows // num_heads // 3)
    return parts.swapaxes(0, 1).reshape(-1)
