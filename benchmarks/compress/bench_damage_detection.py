"""Whether the injured layer is found among layers that were all pruned.

Question: a layer of the starter model is injured (noise, dead heads, zeroed or permuted rows, permuted heads, flipped
signs, a scaled norm; from severe to barely harmful). How often does `rank_layers` put that layer first? The bar: in 45
of 50. Every layer of the model was pruned before (20 % of the weights of every row, by Wanda), as after two waves: with
one layer changed alone the others have no own damage at all, and the question answers itself.
Method: own damage of every layer against the dense model on a few windows, and how far the weights of each kind of
matrix went, both compared with those of a healthy state, which is the model after one wave (10 %), not the same pruning
without the injury. The injuries differ in layer, kind and
size; what each costs by itself (KL in nats a token, dense model with this layer alone replaced, less the same of the
pruned layer) tells how harmful it is. What an injury cannot change (own damage of other layers, the stream below it) is
computed once; that this is the same as `measure_drift` is checked on the first injury.
Peer: several, on the same injured models in the same run: the relative change of each layer's weights against the dense
model's; propagated damage, its largest rise from one layer to the next; own damage alone, with and without the healthy
state.

Run: `python benchmarks/compress/bench_damage_detection.py [--weights starter] [--text PATH] [--num-injuries 50]
[--output PATH]`. Prints one JSON row; `make bench` stores it in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from injuries import INJURIES
from numpy.typing import NDArray
from rows import provenance, tell
from torch import Tensor, nn

from birdbone.compress.damage import LayerEvidence, measure_drift, rank_layers, weight_changes
from birdbone.compress.damage.drift import window_errors
from birdbone.compress.importance import wanda_scores
from birdbone.compress.statistics import collect_statistics
from birdbone.data import load_texts, token_windows
from birdbone.models import BlockContext, LoadedModel, capture_block_inputs, finish_blocks, load_model, run_block

_METHODS = (
    "ours",
    "own damage alone",
    "own damage alone, no healthy state",
    "weight change of the layer",
    "propagated damage, largest rise",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The dense model, the pruned one, and what both give on the windows."""

    dense: LoadedModel
    pruned: nn.Module
    healthy_L: NDArray[np.float64]
    """Own damage of each layer of the healthy state."""
    healthy_changes: dict[str, NDArray[np.float64]]
    """How far each kind of weights of the healthy state went, layer by layer."""
    windows_NT: Tensor
    context: BlockContext
    states: list[Tensor]
    """The dense model's stream before each layer and after the last."""
    pruned_states: list[Tensor]
    own_L: NDArray[np.float64]
    propagated_L: NDArray[np.float64]
    changes: dict[str, NDArray[np.float64]]
    """How far each kind of weights of the pruned model went, layer by layer."""
    total_L: NDArray[np.float64]
    """Relative change of each layer's weights."""
    target: Tensor
    """Log-probabilities of the dense model."""
    known_costs: dict[int, float] = field(default_factory=dict)

    def pruned_cost(self, layer: int) -> float:
        """Return what the pruning of one layer costs by itself; call it while no layer is injured."""
        if layer not in self.known_costs:
            self.known_costs[layer] = _cost(self, layer)
        return self.known_costs[layer]

    def run(self, model: nn.Module, layer: int, hidden: Tensor) -> Tensor:
        """Return the output of one layer."""
        return run_block(model, self.dense.architecture, layer, hidden_BTD=hidden, context=self.context)


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    row = _measure(settings)
    tell(row, settings.output)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Whether the injured layer is ranked first.")
    parser.add_argument("--weights", default="starter")
    parser.add_argument("--text", default="bundled")
    parser.add_argument("--num-injuries", type=int, default=50)
    parser.add_argument("--num-windows", type=int, default=1)
    parser.add_argument("--window-tokens", type=int, default=96)
    parser.add_argument("--calibration-windows", type=int, default=8)
    parser.add_argument("--sparsity", type=float, default=0.2)
    parser.add_argument("--healthy-sparsity", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


@torch.no_grad()
def _measure(settings: argparse.Namespace) -> dict[str, Any]:
    ground = _prepare(settings)
    draw = np.random.default_rng(settings.seed)
    layers = np.resize(draw.permutation(ground.dense.architecture.num_layers), settings.num_injuries)
    kinds = np.resize(np.array(list(INJURIES)), settings.num_injuries)
    cases = [
        _try(ground, int(layer), str(kind), seed=int(draw.integers(2**31)), is_checked=number == 0)
        for number, (layer, kind) in enumerate(zip(layers, kinds, strict=True))
    ]
    return {**provenance(settings, "compress/bench_damage_detection"), **_summary(cases), "cases": cases}


def _prepare(settings: argparse.Namespace) -> Ground:
    dense = load_model(settings.weights)
    corpus = load_texts(settings.text)
    calibration_NT = _windows(dense, corpus.calibration, settings, count=settings.calibration_windows)
    windows_NT = _windows(dense, corpus.healing, settings, count=settings.num_windows)
    statistics = collect_statistics(dense.model, dense.architecture, calibration_NT)
    pruned = copy.deepcopy(dense.model)
    _prune(pruned, dense, statistics, share=settings.healthy_sparsity)
    healthy_L = measure_drift(pruned, dense.model, dense.architecture, windows_NT=windows_NT).own.error_L
    healthy_changes = weight_changes(pruned, dense.model, dense.architecture)
    _prune(pruned, dense, statistics, share=settings.sparsity)
    profile = measure_drift(pruned, dense.model, dense.architecture, windows_NT=windows_NT)
    context = capture_block_inputs(dense.model, dense.architecture, windows_NT)[1]
    states = _states(dense.model, dense, windows_NT)
    return Ground(
        dense=dense,
        pruned=pruned,
        healthy_L=healthy_L,
        healthy_changes=healthy_changes,
        windows_NT=windows_NT,
        context=context,
        states=states,
        pruned_states=_states(pruned, dense, windows_NT),
        own_L=profile.own.error_L,
        propagated_L=profile.propagated.error_L,
        changes=weight_changes(pruned, dense.model, dense.architecture),
        total_L=np.array([_change(pruned, dense, layer) for layer in range(len(states) - 1)]),
        target=finish_blocks(dense.model, dense.architecture, states[-1]).log_softmax(dim=-1),
    )


def _windows(dense: LoadedModel, texts: Any, settings: argparse.Namespace, *, count: int) -> Tensor:
    return torch.from_numpy(token_windows(texts, dense.encode, window=settings.window_tokens, count=count))


def _prune(model: nn.Module, dense: LoadedModel, statistics: Any, *, share: float) -> None:
    """Give the model the dense weights less the lowest share of each row by Wanda's score."""
    for path in dense.architecture.linear_paths:
        weight = model.get_parameter(f"{path}.weight")
        weight.copy_(dense.model.get_parameter(f"{path}.weight"))
        scores = wanda_scores(weight, statistics[path].mean_square_D)
        limit = scores.kthvalue(max(1, round(share * scores.shape[1])), dim=1, keepdim=True).values
        weight *= scores > limit


def _states(model: nn.Module, dense: LoadedModel, windows_NT: Tensor) -> list[Tensor]:
    hidden, context = capture_block_inputs(model, dense.architecture, windows_NT)
    states = [hidden]
    for index in range(dense.architecture.num_layers):
        states.append(run_block(model, dense.architecture, index, hidden_BTD=states[-1], context=context))
    return states


def _try(ground: Ground, layer: int, kind: str, *, seed: int, is_checked: bool) -> dict[str, Any]:
    """Injure one layer of the pruned model, rank the layers, and put it back."""
    with Injured(ground, layer, kind, seed) as detail:
        own_L, propagated_L = _damage(ground, layer)
        if is_checked:
            _check(ground, own_L, propagated_L)
        total_L = ground.total_L.copy()
        total_L[layer] = _change(ground.pruned, ground.dense, layer)
        changes = _changes(ground, layer)
        cost = _cost(ground, layer)
    cost -= ground.pruned_cost(layer)
    orders = _rankings(ground, own_L, propagated_L, changes, total_L)
    ranks = {name: order.index(layer) + 1 for name, order in orders.items()}
    print(f"layer {layer}: {detail}, {cost:.2g} nats, ranks {list(ranks.values())}", flush=True)
    return {"layer": layer, "kind": kind, "detail": detail, "cost_nats": cost, "ranks": ranks}


def _damage(ground: Ground, layer: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return own and propagated damage of all layers when this layer of the pruned model is injured."""
    own_L, propagated_L = ground.own_L.copy(), ground.propagated_L.copy()
    own_L[layer] = _error(ground.run(ground.pruned, layer, ground.states[layer]), ground.states[layer + 1])
    stream = ground.pruned_states[layer]
    for index in range(layer, len(own_L)):
        stream = ground.run(ground.pruned, index, stream)
        propagated_L[index] = _error(stream, ground.states[index + 1])
    return own_L, propagated_L


def _changes(ground: Ground, layer: int) -> dict[str, NDArray[np.float64]]:
    """Return how far all weights went; only those of one layer can be others than in the pruned model."""
    alone = dataclasses.replace(ground.dense.architecture, layers=(ground.dense.architecture.layers[layer],))
    changes = {kind: change_L.copy() for kind, change_L in ground.changes.items()}
    for kind, change_L in weight_changes(ground.pruned, ground.dense.model, alone).items():
        changes[kind][layer] = change_L[layer]
    return changes


def _check(ground: Ground, own_L: NDArray[np.float64], propagated_L: NDArray[np.float64]) -> None:
    dense = ground.dense
    whole = measure_drift(ground.pruned, dense.model, dense.architecture, windows_NT=ground.windows_NT)
    np.testing.assert_allclose(own_L, whole.own.error_L, rtol=1e-3)
    np.testing.assert_allclose(propagated_L, whole.propagated.error_L, rtol=1e-3)


def _error(output_NTD: Tensor, target_NTD: Tensor) -> float:
    return float(window_errors(output_NTD, target_NTD).mean())


def _change(model: nn.Module, dense: LoadedModel, layer: int) -> float:
    path = dense.architecture.layer_path(layer)
    ours, theirs = (list(each.get_submodule(path).parameters()) for each in (model, dense.model))
    change = sum(float((a - b).square().sum()) for a, b in zip(ours, theirs, strict=True))
    return change / sum(float(b.square().sum()) for b in theirs)


def _cost(ground: Ground, layer: int) -> float:
    """Return KL(dense || dense with this layer of the pruned model) in nats a token."""
    stream = ground.run(ground.pruned, layer, ground.states[layer])
    for later in range(layer + 1, len(ground.own_L)):
        stream = ground.run(ground.dense.model, later, stream)
    found = finish_blocks(ground.dense.model, ground.dense.architecture, stream).log_softmax(dim=-1)
    return float((ground.target.exp() * (ground.target - found)).sum(dim=-1).mean())


class Injured:
    """Injures a layer of the pruned model inside a `with`, and puts its weights back."""

    def __init__(self, ground: Ground, layer: int, kind: str, seed: int) -> None:
        self._layer = ground.pruned.get_submodule(ground.dense.architecture.layer_path(layer))
        self._kind, self._seed = kind, seed

    def __enter__(self) -> str:
        self._before = copy.deepcopy(self._layer.state_dict())
        return INJURIES[self._kind](self._layer, np.random.default_rng(self._seed))

    def __exit__(self, *_: object) -> None:
        self._layer.load_state_dict(self._before)


def _rankings(
    ground: Ground,
    own_L: NDArray[np.float64],
    propagated_L: NDArray[np.float64],
    changes: dict[str, NDArray[np.float64]],
    total_L: NDArray[np.float64],
) -> dict[str, list[int]]:
    own = LayerEvidence(name="own damage", values_L=own_L, healthy_L=ground.healthy_L)
    others = [
        LayerEvidence(name=kind, values_L=change_L, healthy_L=ground.healthy_changes[kind])
        for kind, change_L in changes.items()
    ]
    log_L = np.log(np.maximum(propagated_L, 1e-14))
    rises_L = np.diff(log_L, prepend=log_L[0])  # the first layer has none below it to rise over
    orders = (
        [ranked.layer for ranked in rank_layers(own, *others)],
        [ranked.layer for ranked in rank_layers(own)],
        [ranked.layer for ranked in rank_layers(dataclasses.replace(own, healthy_L=None))],
        np.argsort(-total_L).tolist(),
        np.argsort(-rises_L).tolist(),
    )
    return dict(zip(_METHODS, orders, strict=True))


def _summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    costs = np.array([case["cost_nats"] for case in cases])
    by_kind: dict[str, list[int]] = defaultdict(list)
    for case in cases:
        by_kind[case["kind"]].append(int(case["ranks"]["ours"] == 1))
    return {
        "num_injuries": len(cases),
        **{f"right: {name}": sum(case["ranks"][name] == 1 for case in cases) for name in cases[0]["ranks"]},
        "right_by_kind": {kind: f"{sum(found)} of {len(found)}" for kind, found in by_kind.items()},
        "cost_nats_median": float(np.median(costs)),
        "cost_nats_min": float(costs.min()),
        "cost_nats_max": float(costs.max()),
    }


if __name__ == "__main__":
    main()
