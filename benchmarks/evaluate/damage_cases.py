"""Changes to a Llama model and its tokenizer: five kinds of damage of any severity, five kinds that do no harm.

Each maker takes a model that it may change and a generator, and returns what it did in words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

Encode = Callable[[str], list[int]]
Decode = Callable[[Sequence[int]], str]
_SLOTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_SLOTS += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A tokenizer as two functions."""

    encode: Encode
    decode: Decode
    prefix_token: int


def add_noise(model: nn.Module, draw: np.random.Generator) -> str:
    """Add Gaussian noise to one linear, or to all of one layer, of 5 to 150 % of each one's own spread."""
    layer = _any_layer(model, draw)
    slots = _SLOTS if draw.random() < 0.3 else (str(draw.choice(_SLOTS)),)
    share = _log_uniform(draw, 0.05, 1.5)
    for slot in slots:
        weight = layer.get_submodule(slot).weight
        weight += share * weight.std() * _normal(weight, draw)
    return f"{share:.3g} of the spread in {'a layer' if len(slots) > 1 else slots[0]}"


def kill_heads(model: nn.Module, draw: np.random.Generator) -> str:
    """Silence one to six heads, or dampen them to what is left of 0 to 70 %."""
    width, count = _head_width(model), int(draw.integers(1, 7))
    left = 0.0 if draw.random() < 0.7 else float(draw.uniform(0, 0.7))
    for _ in range(count):
        weight = _any_layer(model, draw).self_attn.o_proj.weight
        head = int(draw.integers(weight.shape[1] // width))
        weight[:, head * width : (head + 1) * width] *= left
    return f"{count} heads at {left:.2g}"


def permute_rows(model: nn.Module, draw: np.random.Generator) -> str:
    """Put 2 to all rows of one linear, or of the embedding, in each other's place."""
    is_embedding = draw.random() < 0.3
    slot = str(draw.choice(_SLOTS))
    weight = model.model.embed_tokens.weight if is_embedding else _any_layer(model, draw).get_submodule(slot).weight
    count = round(_log_uniform(draw, 2, len(weight)))
    rows = torch.from_numpy(draw.permutation(len(weight))[:count])
    weight[rows] = weight[rows.roll(1)].clone()
    return f"{count} of {len(weight)} rows of {'the embedding' if is_embedding else slot}"


def turn_rope(model: nn.Module, draw: np.random.Generator) -> str:
    """Give RoPE another base, 30 % to 100 times off, or linear scaling by 5 % to 8 times."""
    rotary = model.model.rotary_emb
    if draw.random() < 0.5:
        times = _log_uniform(draw, 1.3, 100) ** draw.choice([-1, 1])
        exponents = torch.arange(len(rotary.inv_freq)) / len(rotary.inv_freq)
        rotary.inv_freq *= times**-exponents
        return f"base {times:.3g} times"
    times = (1 + _log_uniform(draw, 0.05, 7)) ** draw.choice([-1, 1])
    rotary.inv_freq /= times
    return f"positions over {times:.3g}"


def round_weights(model: nn.Module, draw: np.random.Generator) -> str:
    """Store some or all matrices in 16 bits, or in 8 bits a row or a block of 32."""
    share = 1.0 if draw.random() < 0.5 else float(draw.uniform(0.2, 1))
    way = str(draw.choice(["bfloat16", "float16", "int8 rows", "int8 blocks"]))
    for weight in model.parameters():
        if weight.ndim == 2 and draw.random() < share:
            weight.copy_(_rounded(weight, way))
    return f"{share:.0%} of the matrices in {way}"


def rewrite(model: nn.Module, draw: np.random.Generator) -> str:
    """Write the same function otherwise: neurons and heads permuted, norms, values and neurons scaled."""
    width = _head_width(model)
    for layer in model.model.layers:
        _permute_neurons(layer.mlp, draw)
        _scale_neurons(layer.mlp, draw)
        _scale_norm(layer.input_layernorm, [getattr(layer.self_attn, f"{name}_proj") for name in "qkv"], draw)
        _scale_norm(layer.post_attention_layernorm, [layer.mlp.gate_proj, layer.mlp.up_proj], draw)
        _permute_heads(layer.self_attn, width, draw)
    return "neurons and heads permuted, norms and neurons scaled"


def rewrite_and_round(model: nn.Module, draw: np.random.Generator) -> str:
    """Do both."""
    return f"{rewrite(model, draw)}; {round_weights(model, draw)}"


DAMAGES: dict[str, Callable[[nn.Module, np.random.Generator], str]] = {
    "noise in one layer": add_noise,
    "dead head": kill_heads,
    "permuted rows": permute_rows,
    "wrong rope": turn_rope,
}
HARMLESS: dict[str, Callable[[nn.Module, np.random.Generator], str]] = {
    "rounded": round_weights,
    "rewritten": rewrite,
    "rewritten and rounded": rewrite_and_round,
}


def shift_ids(codec: Codec, draw: np.random.Generator, *, low: int, high: int) -> tuple[Codec, str]:
    """Move the ids of a stretch of 4 to all of those from `low` to `high` by one; text comes back as it was."""
    count = round(_log_uniform(draw, 4, high - low))
    begin = int(draw.integers(low, high - count + 1))
    there = np.arange(high)
    there[begin : begin + count] = np.roll(there[begin : begin + count], 1)
    return renumbered(codec, there), f"{count} ids shifted"


def renumbered(codec: Codec, there: np.ndarray) -> Codec:
    """Return the tokenizer with each id replaced by `there[id]`."""
    back = np.argsort(there)
    return Codec(
        encode=lambda text: there[codec.encode(text)].tolist(),
        decode=lambda tokens: codec.decode(back[list(tokens)].tolist()),
        prefix_token=int(there[codec.prefix_token]),
    )


def renumber_vocabulary(model: nn.Module, codec: Codec, draw: np.random.Generator) -> tuple[Codec, str]:
    """Number the vocabulary otherwise in the tokenizer and the model alike: nothing is lost."""
    weight = model.model.embed_tokens.weight
    there = draw.permutation(len(weight))
    weight[torch.from_numpy(there)] = weight.clone()
    return renumbered(codec, there), "vocabulary renumbered on both sides"


def shuffled_order(count: int, draw: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return an order of merges in which a share of 2 to 100 % have changed places, and the share."""
    share = _log_uniform(draw, 0.02, 1)
    order = np.arange(count)
    moved = np.sort(draw.permutation(count)[: max(2, round(share * count))])
    order[moved] = draw.permutation(moved)
    return order, share


def shuffle_merges(tokenizer: Tokenizer, prefix_token: int, draw: np.random.Generator) -> tuple[Codec, str]:
    """Return a byte-level BPE tokenizer with some of its merges in another order."""
    plain = json.loads(tokenizer.to_str())
    merges = plain["model"]["merges"]
    order, share = shuffled_order(len(merges), draw)
    plain["model"]["merges"] = [merges[place] for place in order]
    other = Tokenizer.from_str(json.dumps(plain))
    return (
        Codec(
            encode=lambda text: other.encode(text, add_special_tokens=False).ids,
            decode=lambda tokens: other.decode(list(tokens)),
            prefix_token=prefix_token,
        ),
        f"{share:.2g} of the merges elsewhere",
    )


def _any_layer(model: nn.Module, draw: np.random.Generator) -> nn.Module:
    return model.model.layers[int(draw.integers(len(model.model.layers)))]


def _head_width(model: nn.Module) -> int:
    return model.config.hidden_size // model.config.num_attention_heads


def _log_uniform(draw: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(draw.uniform(np.log(low), np.log(high))))


def _normal(like: Tensor, draw: np.random.Generator) -> Tensor:
    return torch.from_numpy(draw.standard_normal(like.shape, dtype=np.float32))


def _rounded(weight: Tensor, way: str) -> Tensor:
    if way in ("bfloat16", "float16"):
        return weight.to(getattr(torch, way)).float()
    grouped = weight.reshape(-1, 32) if way == "int8 blocks" else weight
    step = grouped.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
    return ((grouped / step).round() * step).reshape(weight.shape)


def _permute_neurons(mlp: nn.Module, draw: np.random.Generator) -> None:
    order = torch.from_numpy(draw.permutation(len(mlp.up_proj.weight)))
    for linear in (mlp.up_proj, mlp.gate_proj):
        linear.weight.copy_(linear.weight[order])
    mlp.down_proj.weight.copy_(mlp.down_proj.weight[:, order])


def _scale_neurons(mlp: nn.Module, draw: np.random.Generator) -> None:
    scale = _scales(len(mlp.up_proj.weight), draw)
    mlp.up_proj.weight *= scale[:, None]
    mlp.down_proj.weight /= scale


def _scale_norm(norm: nn.Module, readers: Sequence[nn.Linear], draw: np.random.Generator) -> None:
    scale = _scales(len(norm.weight), draw)
    norm.weight *= scale
    for linear in readers:
        linear.weight /= scale


def _permute_heads(attention: nn.Module, width: int, draw: np.random.Generator) -> None:
    """Permute the groups of heads that share keys and values, and the heads within each group; scale the values."""
    num_groups = len(attention.k_proj.weight) // width
    group_size = len(attention.q_proj.weight) // width // num_groups
    groups = draw.permutation(num_groups)
    heads = np.concatenate([group * group_size + draw.permutation(group_size) for group in groups])
    few, many = _rows_of(groups, width), _rows_of(heads, width)
    attention.q_proj.weight.copy_(attention.q_proj.weight[many])
    attention.o_proj.weight.copy_(attention.o_proj.weight[:, many])
    for linear in (attention.k_proj, attention.v_proj):
        linear.weight.copy_(linear.weight[few])
    scale = _scales(num_groups, draw)
    attention.v_proj.weight *= scale.repeat_interleave(width)[:, None]
    attention.o_proj.weight /= scale.repeat_interleave(width * group_size)


def _rows_of(blocks: np.ndarray, width: int) -> Tensor:
    return torch.from_numpy((blocks[:, None] * width + np.arange(width)).ravel())


def _scales(count: int, draw: np.random.Generator) -> Tensor:
    return torch.from_numpy(np.exp2(draw.uniform(-2, 2, count)).astype(np.float32))
