"""Injuries of a Llama layer, from severe to barely harmful. Each maker changes one layer and says what it did."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

_LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_LINEARS += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_NORMS = ("input_layernorm", "post_attention_layernorm")

Injury = Callable[[nn.Module, np.random.Generator], str]
"""Takes a layer and a source of chance."""


def add_noise(layer: nn.Module, draw: np.random.Generator) -> str:
    """Add noise of 10 to 100 % of its spread to one linear."""
    name, share = _any_linear(draw), _log_uniform(draw, 0.1, 1.0)
    weight = layer.get_submodule(name).weight
    weight += share * weight.std() * torch.from_numpy(draw.standard_normal(weight.shape, dtype=np.float32))
    return f"noise of {share:.2g} in {name}"


def kill_heads(layer: nn.Module, draw: np.random.Generator) -> str:
    """Silence one to three heads."""
    weight, width = layer.self_attn.o_proj.weight, layer.self_attn.head_dim
    heads = draw.permutation(weight.shape[1] // width)[: int(draw.integers(1, 4))]
    for head in heads:
        weight[:, head * width : (head + 1) * width] = 0
    return f"{len(heads)} heads dead"


def zero_rows(layer: nn.Module, draw: np.random.Generator) -> str:
    """Set 2 to 50 % of the rows of a linear to zero."""
    name, share = _any_linear(draw), _log_uniform(draw, 0.02, 0.5)
    weight = layer.get_submodule(name).weight
    weight[_some_rows(weight, share, draw)] = 0
    return f"{share:.0%} of the rows of {name} zero"


def permute_rows(layer: nn.Module, draw: np.random.Generator) -> str:
    """Put 2 to 50 % of the rows of a linear in each other's place."""
    name, share = _any_linear(draw), _log_uniform(draw, 0.02, 0.5)
    weight = layer.get_submodule(name).weight
    rows = _some_rows(weight, share, draw)
    weight[rows] = weight[rows.roll(1)].clone()
    return f"{share:.0%} of the rows of {name} permuted"


def permute_heads(layer: nn.Module, draw: np.random.Generator) -> str:
    """Let two query heads change places, so that each reads the other's part of the output."""
    weight, width = layer.self_attn.q_proj.weight, layer.self_attn.head_dim
    first, second = (torch.arange(head * width, (head + 1) * width) for head in _two(len(weight) // width, draw))
    weight[first], weight[second] = weight[second].clone(), weight[first].clone()
    return "two heads changed places"


def flip_signs(layer: nn.Module, draw: np.random.Generator) -> str:
    """Turn the sign of 1 to 30 % of the weights of a linear."""
    name, share = _any_linear(draw), _log_uniform(draw, 0.01, 0.3)
    weight = layer.get_submodule(name).weight
    weight *= torch.from_numpy(np.where(draw.random(weight.shape) < share, -1.0, 1.0).astype(np.float32))
    return f"{share:.0%} of the signs of {name} flipped"


def scale_norm(layer: nn.Module, draw: np.random.Generator) -> str:
    """Scale a norm by 1.15 to 4, up or down."""
    name, factor = str(draw.choice(_NORMS)), _log_uniform(draw, 1.15, 4.0) ** int(draw.choice([-1, 1]))
    layer.get_submodule(name).weight *= factor
    return f"{name} times {factor:.2g}"


INJURIES: dict[str, Injury] = {
    "noise": add_noise,
    "dead heads": kill_heads,
    "zeroed rows": zero_rows,
    "permuted rows": permute_rows,
    "permuted heads": permute_heads,
    "sign flips": flip_signs,
    "scaled norm": scale_norm,
}


def _any_linear(draw: np.random.Generator) -> str:
    return str(draw.choice(_LINEARS))


def _some_rows(weight: Tensor, share: float, draw: np.random.Generator) -> Tensor:
    return torch.from_numpy(draw.permutation(len(weight))[: max(2, round(share * len(weight)))])


def _two(count: int, draw: np.random.Generator) -> tuple[int, int]:
    first, second = draw.permutation(count)[:2]
    return int(first), int(second)


def _log_uniform(draw: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(draw.uniform(np.log(low), np.log(high))))
