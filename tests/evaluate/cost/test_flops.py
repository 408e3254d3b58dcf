"""FLOPs in closed form: by hand, by law, and against torch's counter on every family."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluate.tiny import CONTEXT, FAMILIES
from transformers import AutoModelForCausalLM

from birdbone.evaluate.cost.counting import count_forward_flops, model_shape
from birdbone.evaluate.cost.flops import ModelShape, cache_bytes, forward_flops, keys_seen

KINDS = ("llama", "llama_tied", "mistral", "gemma2", "phi3", "gpt_neox", "opt")
"""Each differs in what is counted: a tied head, windows, wide heads, fused linears, projections around the decoder."""
SHAPE = ModelShape(
    num_weights=20,
    linear_weights=10,
    head_weights=6,
    num_heads=2,
    num_kv_heads=1,
    head_dim=3,
    windows=(None, 4),
    context_length=64,
    weight_counts={"w": 20},
    lookup_rows={},
)


def skeleton(family: str) -> torch.nn.Module:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(FAMILIES[family], attn_implementation="eager").eval()


@pytest.mark.parametrize("family", KINDS)
def test_the_formula_gives_what_torch_counts(family: str) -> None:
    model = skeleton(family)
    shape = model_shape(model)
    for num_new, num_cached in ((21, 0), (1, 40)):
        assert forward_flops(shape, num_new, num_cached=num_cached) == count_forward_flops(
            model, num_new, num_cached=num_cached
        )


def test_a_shape_is_the_models() -> None:
    tied, untied = (model_shape(skeleton(family)) for family in ("llama_tied", "llama"))
    assert untied.num_weights == sum(parameter.numel() for parameter in skeleton("llama").parameters())
    assert untied.num_weights - tied.num_weights == tied.head_weights == 97 * 32
    assert (tied.lookup_rows, untied.lookup_rows) == ({}, {"model.embed_tokens.weight": 97})
    assert untied.linear_weights == 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32)
    assert (untied.num_heads, untied.num_kv_heads, untied.head_dim, untied.windows) == (4, 2, 8, (None, None))
    assert model_shape(skeleton("mistral")).windows == (16, 16)
    assert untied.context_length == CONTEXT


def test_the_arithmetic_of_a_small_model_by_hand() -> None:
    # 4 tokens: 2*4*10 of linears, 2*6 of the head, two layers of 4*4*4 keys * 6 values
    assert forward_flops(SHAPE, 4) == 80 + 12 + 2 * 4 * 4 * 4 * 6
    # 1 token after 9: the first layer sees 10 keys, the one with a window of 4 sees 4
    assert forward_flops(SHAPE, 1, num_cached=9) == 20 + 12 + 4 * (10 + 4) * 6
    # keys and values of those 14 places, one head of 3 values, 2 bytes each
    assert cache_bytes(SHAPE, 9, bytes_per_value=2) == 2 * 14 * 3 * 2


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 60))
def test_a_prompt_in_two_parts_costs_the_head_twice_and_hidden_keys_less(first: int, second: int, window: int) -> None:
    full = replace(SHAPE, windows=(None,))
    whole = forward_flops(full, first + second)
    parts = forward_flops(full, first) + forward_flops(full, second, num_cached=first)
    unseen = 4 * first * second * full.num_heads * full.head_dim  # the first part never sees the second
    assert parts == whole + 2 * full.head_weights - unseen
    assert keys_seen(window + 1, second, first) <= keys_seen(None, second, first)
