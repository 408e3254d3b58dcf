"""LLM-Pruner's way to a structural cut: Taylor scores of coupled groups, then LoRA.

Shapes: R rank, F outputs, D inputs.

Ma et al. 2023, arXiv:2305.11627; settings of their repository: element-wise first-order scores, the first four layers
and the last two are left alone, LoRA of rank 8 and alpha 16 on every linear.
"""

from __future__ import annotations

import math

import torch
from kept_stages import Bench, draw_windows
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from birdbone.compress.growth import DependencyGraph, Structure, build_dependency_graph
from birdbone.compress.growth.dependency import Piece
from birdbone.compress.growth.importance import taylor_by_position
from birdbone.compress.shedding.cutting import cut_model
from birdbone.models import LoadedModel, describe_architecture


def cut_peers_way(bench: Bench, loaded: LoadedModel, num_gone: int) -> None:
    """Take so many parameters out of the dense model; nothing is refitted."""
    graph = build_dependency_graph(loaded.architecture)
    scores = bench.stage("taylor", lambda: _taylor(bench, loaded, graph))
    structures = _peer_structures(graph, scores, num_gone)
    cut_model(loaded.model, graph, structures, windows_NT=None)


def _taylor(bench: Bench, loaded: LoadedModel, graph: DependencyGraph) -> dict[tuple[int, str], Tensor]:
    """Return the score of every neuron and KV group of the layers that LLM-Pruner cuts."""
    model = loaded.model.requires_grad_(True)
    for ids_T in draw_windows(bench, loaded, "valid", 4, tokens=128):
        logits_TV = model(input_ids=ids_T[None]).logits[0]
        cross_entropy(logits_TV[:-1], ids_T[1:]).backward()
    weights = dict(model.named_parameters())
    gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
    scores: dict[tuple[int, str], Tensor] = {}
    for layer in _peer_layers(graph):
        for kind, space in (("neuron", "neurons"), ("keys", "keys"), ("queries", "queries")):
            axes = graph.spaces[f"layers.{layer}.{space}"]
            pieces = [
                Piece(tensor=axis.tensor, axis=axis.axis, indices=axis.indices(range(axes.width))) for axis in axes.axes
            ]
            scores[layer, kind] = taylor_by_position(weights, gradients, pieces).detach()
    model.requires_grad_(False).zero_grad()
    return scores


def _peer_layers(graph: DependencyGraph) -> range:
    return range(4, graph.architecture.num_layers - 2)


def _peer_structures(graph: DependencyGraph, scores: dict[tuple[int, str], Tensor], num_gone: int) -> list[Structure]:
    """Return one KV group of each of its layers, the least important, and neurons evenly for the rest."""
    groups, layers = [], _peer_layers(graph)
    for layer in layers:
        count = graph.heads(layer).num_kv_heads
        summed = sum(scores[layer, kind].reshape(count, -1).sum(dim=1) for kind in ("keys", "queries"))
        groups.append(Structure(kind="kv_group", layer=layer, index=int(summed.argmin())))
    left = num_gone - graph.num_parameters(groups)
    one = graph.num_parameters([Structure(kind="neuron", layer=layers[0], index=0)])
    per_layer = round(left / one / len(layers))
    order = {layer: scores[layer, "neuron"].argsort()[:per_layer].tolist() for layer in layers}
    neurons = [Structure(kind="neuron", layer=layer, index=index) for layer in layers for index in order[layer]]
    return [*groups, *neurons]


class Lora(nn.Module):
    """A linear with a correction of rank 8; B starts at zero, the scale is alpha / r = 2, as in LLM-Pruner."""

    def __init__(self, linear: nn.Linear, generator: torch.Generator, rank: int = 8) -> None:
        super().__init__()
        self.linear = linear
        bound = 1 / math.sqrt(linear.in_features)
        a_RD = (2 * torch.rand(rank, linear.in_features, generator=generator) - 1) * bound
        self.a_RD, self.b_FR = nn.Parameter(a_RD), nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + 2.0 * (x @ self.a_RD.T) @ self.b_FR.T

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        self.linear.weight += 2.0 * self.b_FR @ self.a_RD
        return self.linear


def heal_peers_way(bench: Bench, loaded: LoadedModel) -> None:
    """Train LoRA on the windows that our healing sees, each as often, and merge it."""
    model, generator = loaded.model.requires_grad_(False), torch.Generator().manual_seed(0)
    paths = describe_architecture(model).linear_paths
    adapters = {path: Lora(model.get_submodule(path), generator) for path in paths}
    for path, adapter in adapters.items():
        _put(model, path, adapter)
    parameters = [parameter for adapter in adapters.values() for parameter in (adapter.a_RD, adapter.b_FR)]
    optimiser = torch.optim.AdamW(parameters, lr=bench.settings.lora_rate)
    windows_NT = draw_windows(bench, loaded, "valid", bench.settings.num_healed, offset=1)
    total = bench.settings.epochs * len(windows_NT)
    for step in range(total):
        optimiser.param_groups[0]["lr"] = bench.settings.lora_rate * min(1.0, (step + 1) / 4) * (1 - 0.9 * step / total)
        ids_T = windows_NT[step % len(windows_NT)]
        loss = cross_entropy(model(input_ids=ids_T[None]).logits[0, :-1], ids_T[1:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for path, adapter in adapters.items():
        _put(model, path, adapter.merge())


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)
