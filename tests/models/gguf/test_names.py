"""Names and row orders of each family."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from birdbone.models.gguf import FAMILIES, UnknownTensorError, UnsupportedExportError, family_of, gguf_name, layer_of
from birdbone.models.gguf.names import fused_by_head_order, rotary_pair_order, row_order_of


@given(st.integers(1, 6), st.integers(1, 8))
def test_rotary_order_puts_the_two_halves_of_each_head_side_by_side(num_heads: int, half: int) -> None:
    rows = torch.arange(num_heads * 2 * half)
    order = rotary_pair_order(len(rows), num_heads=num_heads)
    pairs = rows[order].reshape(num_heads, half, 2)
    assert torch.equal(order.sort().values, rows)
    assert bool((pairs[..., 1] - pairs[..., 0] == half).all())
    assert torch.equal(pairs[..., 0] // (2 * half), torch.arange(num_heads)[:, None].expand(-1, half))


@given(st.integers(1, 6), st.integers(1, 8))
def test_fused_order_gives_all_queries_then_all_keys_then_all_values(num_heads: int, head_dim: int) -> None:
    source = torch.tensor([[h, part] for h in range(num_heads) for part in range(3) for _ in range(head_dim)])
    moved = source[fused_by_head_order(len(source), num_heads=num_heads)]
    assert moved[:, 1].tolist() == [part for part in range(3) for _ in range(num_heads * head_dim)]
    assert moved[:, 0].tolist() == [h for h in range(num_heads) for _ in range(head_dim)] * 3


@pytest.mark.parametrize(
    ("family", "name", "expected"),
    [
        ("llama", "model.embed_tokens.weight", "token_embd.weight"),
        ("llama", "model.layers.12.self_attn.q_proj.weight", "blk.12.attn_q.weight"),
        ("qwen2", "model.layers.0.self_attn.k_proj.bias", "blk.0.attn_k.bias"),
        ("qwen3", "model.layers.1.self_attn.q_norm.weight", "blk.1.attn_q_norm.weight"),
        ("phi3", "model.layers.3.mlp.gate_up_proj.weight", "blk.3.ffn_up.weight"),
        ("gpt_neox", "gpt_neox.layers.2.attention.query_key_value.bias", "blk.2.attn_qkv.bias"),
        ("gpt_neox", "embed_out.weight", "output.weight"),
    ],
)
def test_each_tensor_has_its_name(family: str, name: str, expected: str) -> None:
    assert gguf_name(name, family_of(family)) == expected


def test_layers_are_found_in_both_kinds_of_name() -> None:
    assert layer_of("model.layers.7.mlp.up_proj.weight") == 7
    assert layer_of("blk.11.ffn_up.weight") == 11
    assert layer_of("model.norm.weight") is None


def test_only_llama_and_mistral_interleave_queries_and_keys() -> None:
    moved = {name for name, family in FAMILIES.items() if row_order_of("blk.0.attn_q.weight", family) != "as_is"}
    assert moved == {"llama", "mistral"}


def test_a_tensor_without_a_place_is_an_error_not_a_loss() -> None:
    with pytest.raises(UnknownTensorError, match="lora"):
        gguf_name("model.layers.0.self_attn.q_proj.lora_A.weight", family_of("llama"))


def test_a_family_that_llama_cpp_lacks_is_refused_with_what_is_supported() -> None:
    with pytest.raises(UnsupportedExportError, match=r"gpt_neox.*llama.*qwen3") as caught:
        family_of("opt")
    assert "safetensors" in caught.value.hint
