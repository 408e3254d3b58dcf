"""Whether the injured layer is found among layers that were all pruned.

Question: a layer of the starter model is injured (noise, dead heads, zeroed or permuted rows, permuted heads, flipped
signs, a scaled norm; from severe to barely harmful). How often does `rank_layers` put that layer first? The bar: in 45
of 50. Every layer of the model was pruned before (20 % of the weights of every row, by Wanda), as after two waves: with
one layer changed alone the question would answer itself.
Method: own damage of every layer against the dense model on a few windows, compared with that of a healthy state, which
is the model after one wave (10 %), not the same pruning without the injury. The injuries differ in layer, kind and
size; what each costs by itself (KL in nats a token, dense model with this layer alone replaced, less the same of the
pruned layer) tells how harmful it is. An unpruned model with one injured layer is ranked too (`ours, one layer
changed`).
Peers, on the same injured models in the same run: the relative change of each layer's weights against the dense
model's; propagated damage, its largest rise from one layer to the next; own damage without a healthy state.

Run: `python benchmarks/compress/bench_damage_detection.py [--weights starter] [--text PATH] [--num-injuries 50]
[--output PATH]`. Prints one JSON row; `make bench` stores it in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from injuries import INJURIES
from numpy.typing import NDArray
from torch import Tensor, nn

from birdbone.compress.damage import measure_drift, own_errors, patch_layers, rank_layers
from birdbone.compress.importance import wanda_scores
from birdbone.compress.shedding import shed_lowest
from birdbone.compress.statistics import collect_statistics
from birdbone.core import digest_json
from birdbone.data import load_texts, token_windows
from birdbone.models import LoadedModel, load_model

_METHODS = ("ours", "own damage, no healthy state", "weight change", "propagated damage, largest rise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The dense model, its pruned states, and the text."""

    dense: LoadedModel
    pruned: nn.Module
    healthy_L: NDArray[np.float64]
    windows_NT: Tensor


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    row = _measure(settings)
    line = json.dumps(row, ensure_ascii=False)
    if settings.output is not None:
        settings.output.write_text(line + "\n", encoding="utf-8")
    print(line)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Whether the injured layer is ranked first.")
    parser.add_argument("--weights", default="starter")
    parser.add_argument("--text", default="bundled")
    parser.add_argument("--num-injuries", type=int, default=50)
    parser.add_argument("--num-windows", type=int, default=2)
    parser.add_argument("--window-tokens", type=int, default=128)
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
    num_layers = ground.dense.architecture.num_layers
    layers = np.resize(draw.permutation(num_layers), settings.num_injuries)
    kinds = np.resize(np.array(list(INJURIES)), settings.num_injuries)
    cases = [_try(ground, int(layer), str(kind), draw) for layer, kind in zip(layers, kinds, strict=True)]
    return {**_provenance(settings), **_summary(cases), "cases": cases}


def _prepare(settings: argparse.Namespace) -> Ground:
    dense = load_model(settings.weights)
    corpus = load_texts(settings.text)
    windows = {
        split: torch.from_numpy(
            token_windows(
                getattr(corpus, split),
                lambda text: list(dense.tokenizer(text, add_special_tokens=False)["input_ids"]),
                window=settings.window_tokens,
                count=count,
            )
        )
        for split, count in (("calibration", settings.calibration_windows), ("healing", settings.num_windows))
    }
    statistics = collect_statistics(dense.model, dense.architecture, windows["calibration"])
    states = [_pruned(dense, statistics, share) for share in (settings.healthy_sparsity, settings.sparsity)]
    healthy_L = own_errors(states[0], dense.model, dense.architecture, windows_NT=windows["healing"])
    return Ground(dense=dense, pruned=states[1], healthy_L=healthy_L, windows_NT=windows["healing"])


def _pruned(dense: LoadedModel, statistics: Any, share: float) -> nn.Module:
    model = copy.deepcopy(dense.model)
    for path in dense.architecture.linear_paths:
        weight = model.get_parameter(f"{path}.weight")
        scores = wanda_scores(weight, statistics[path].mean_square_D)
        weight *= shed_lowest(scores, torch.ones_like(weight, dtype=torch.bool), fraction=share)
    return model


def _try(ground: Ground, layer: int, kind: str, draw: np.random.Generator) -> dict[str, Any]:
    """Injure one layer of the pruned model and of the dense one alike, rank, and put both back."""
    seed = int(draw.integers(2**31))
    with Injured(ground.pruned, ground, layer, kind, seed) as detail:
        ranks = {name: order.index(layer) + 1 for name, order in _rankings(ground).items()}
        cost = _cost(ground, ground.pruned, layer)
    cost -= _cost(ground, ground.pruned, layer)
    ranks["ours, one layer changed"] = _rank_in_dense(ground, layer, kind, seed)
    print(f"layer {layer}: {detail}, {cost:.2g} nats, ranks {list(ranks.values())}", flush=True)
    return {"layer": layer, "kind": kind, "detail": detail, "cost_nats": cost, "ranks": ranks}


def _cost(ground: Ground, model: nn.Module, layer: int) -> float:
    report = patch_layers(
        model, ground.dense.model, ground.dense.architecture, windows_NT=ground.windows_NT[:1], layers=[layer]
    )
    return float(report.harm_LN[layer].mean())


class Injured:
    """Injures a layer of a model inside a `with`, and puts its weights back."""

    def __init__(self, model: nn.Module, ground: Ground, layer: int, kind: str, seed: int) -> None:
        self._layer = model.get_submodule(ground.dense.architecture.layer_path(layer))
        self._kind, self._seed = kind, seed

    def __enter__(self) -> str:
        self._before = copy.deepcopy(self._layer.state_dict())
        return INJURIES[self._kind](self._layer, np.random.default_rng(self._seed))

    def __exit__(self, *_: object) -> None:
        self._layer.load_state_dict(self._before)


def _rankings(ground: Ground) -> dict[str, list[int]]:
    dense = ground.dense
    profile = measure_drift(ground.pruned, dense.model, dense.architecture, windows_NT=ground.windows_NT)
    own_L, propagated_L = profile.own.error_L, profile.propagated.error_L
    rises_L = np.diff(np.log(np.maximum(propagated_L, 1e-14)), prepend=np.log(1e-14))
    rises_L[0] = -np.inf if len(rises_L) < 2 else np.median(rises_L[1:])  # the first has none below it
    orders = (
        [ranked.layer for ranked in rank_layers(own_L, healthy_L=ground.healthy_L)],
        [ranked.layer for ranked in rank_layers(own_L)],
        np.argsort(-_weight_changes(ground)).tolist(),
        np.argsort(-rises_L).tolist(),
    )
    return dict(zip(_METHODS, orders, strict=True))


def _weight_changes(ground: Ground) -> NDArray[np.float64]:
    changes = []
    for layout in ground.dense.architecture.layers:
        ours, theirs = (model.get_submodule(layout.path) for model in (ground.pruned, ground.dense.model))
        pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
        changes.append(
            float(sum((a - b).square().sum() for a, b in pairs)) / float(sum(b.square().sum() for _, b in pairs))
        )
    return np.array(changes)


def _rank_in_dense(ground: Ground, layer: int, kind: str, seed: int) -> int:
    """Return the rank when this layer alone differs from the dense model: own damage of all others is zero."""
    twin = copy.deepcopy(ground.dense.model)
    with Injured(twin, ground, layer, kind, seed):
        own_L = own_errors(twin, ground.dense.model, ground.dense.architecture, windows_NT=ground.windows_NT[:1])
    return [ranked.layer for ranked in rank_layers(own_L)].index(layer) + 1


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


def _provenance(settings: argparse.Namespace) -> dict[str, Any]:
    described = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    chosen = {name: value for name, value in vars(settings).items() if name != "output"}
    return {
        "bench": "compress/bench_damage_detection",
        "commit": described.stdout.strip(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }


if __name__ == "__main__":
    main()
