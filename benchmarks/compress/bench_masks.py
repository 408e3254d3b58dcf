"""How good masks are without any training, and what they cost, beside SparseGPT and Wanda.

Question: pruned to 50 %, to 60 % and to 2:4, what perplexity has the model on text that calibration did not see? The
bar is 0.88, 0.75 and 0.85 times SparseGPT's. And how long does the solver take for a decoder layer? The bar is 1.0
CPU-second on the starter model.
Method: `prune_blocks` with its defaults, the budget by loss where the pattern leaves a choice; the peers take our place
as the solver in the same walk through the model, on the same windows, with every linear at the same sparsity, as they
were published. Calibration on windows of WikiText-2's validation text spread over it, perplexity on the first windows
of its test text. CPU-seconds of the solver alone, summed over a layer: Gram matrices and forward passes are the same
for all.
Peer: SparseGPT, written from its paper (`sparse_peers.py`), and Wanda.

Run: `python benchmarks/compress/bench_masks.py --text FOLDER [--patterns 0.5 0.6 2:4] [--output PATH]` with
WikiText-2's `valid.txt` and `test.txt` in the folder. Prints one JSON row.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rows import provenance, tell
from sparse_peers import sparsegpt
from torch import Tensor

from birdbone.compress.budget import spread_sparsity
from birdbone.compress.config import EvenBudget, LossBudget, MaskConfig, NOfMPattern, UnstructuredPattern
from birdbone.compress.masks.blocks import Solve, Solved, drop_only, prune_blocks, solve_group
from birdbone.evaluate.perplexity import token_nll
from birdbone.models import LoadedModel, load_model

PEERS: dict[str, Solve] = {"wanda": drop_only, "sparsegpt": sparsegpt}


class Timed:
    """A solver that counts the CPU-seconds it takes."""

    def __init__(self, solve: Solve) -> None:
        self.solve, self.seconds = solve, 0.0

    def __call__(self, weights: Mapping[str, Tensor], gram_DD: Tensor, projects: Any, config: MaskConfig) -> Solved:
        start = time.process_time()
        solved = self.solve(weights, gram_DD, projects, config)
        self.seconds += time.process_time() - start
        return solved


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    loaded = load_model(settings.model)
    calibration_NT = _windows(loaded, settings.text / "valid.txt", settings)
    every = len(calibration_NT) // settings.num_windows
    calibration_NT = calibration_NT[: every * settings.num_windows : every]
    heldout_NT = _windows(loaded, settings.text / "test.txt", settings)[: settings.num_test_windows]
    row = provenance(settings, "compress/bench_masks") | {"dense_perplexity": _perplexity(loaded.model, heldout_NT)}
    for name in settings.patterns:
        row |= _compare(loaded, name, calibration_NT, heldout_NT, settings)
    tell(row, settings.output)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Mask quality and its cost, beside SparseGPT and Wanda.")
    parser.add_argument("--text", type=Path, required=True, help="Folder with valid.txt and test.txt of WikiText-2.")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--patterns", nargs="+", default=["0.5", "0.6", "2:4"])
    parser.add_argument("--num-windows", type=int, default=16)
    parser.add_argument("--num-test-windows", type=int, default=16)
    parser.add_argument("--window-tokens", type=int, default=1024)
    parser.add_argument("--peers", nargs="*", default=["sparsegpt"], choices=list(PEERS))
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _windows(loaded: LoadedModel, path: Path, settings: argparse.Namespace) -> Tensor:
    ids = torch.tensor(loaded.encode(path.read_text(encoding="utf-8")))
    count = len(ids) // settings.window_tokens
    return ids[: count * settings.window_tokens].reshape(count, settings.window_tokens)


def _compare(
    loaded: LoadedModel, name: str, calibration_NT: Tensor, heldout_NT: Tensor, settings: argparse.Namespace
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for peer in settings.peers:
        config = _config(name, EvenBudget())
        row |= _prune(loaded, f"{peer}_{name}", PEERS[peer], config, calibration_NT, heldout_NT)
    row |= _prune(loaded, f"birdbone_{name}", solve_group, _config(name, LossBudget()), calibration_NT, heldout_NT)
    for peer in settings.peers:
        ratio = row[f"birdbone_{name}_perplexity"] / row[f"{peer}_{name}_perplexity"]
        row[f"perplexity_{name}_over_{peer}"] = ratio
        print(f"{name}: {ratio:.3f} of {peer}'s perplexity", flush=True)
    return row


def _config(name: str, budget: EvenBudget | LossBudget) -> MaskConfig:
    if ":" in name:
        num_kept, group = (int(part) for part in name.split(":"))
        return MaskConfig(pattern=NOfMPattern(num_kept=num_kept, group=group), budget=EvenBudget())
    return MaskConfig(pattern=UnstructuredPattern(share=float(name)), budget=budget)


def _prune(
    loaded: LoadedModel, name: str, solve: Solve, config: MaskConfig, calibration_NT: Tensor, heldout_NT: Tensor
) -> dict[str, Any]:
    model, architecture, timed = copy.deepcopy(loaded.model), loaded.architecture, Timed(solve)
    start = time.process_time()
    sparsities = spread_sparsity(model, architecture, calibration_NT, config)
    report = prune_blocks(model, architecture, calibration_NT, config, sparsities=sparsities, solve=timed)
    row = {
        f"{name}_perplexity": _perplexity(model, heldout_NT),
        f"{name}_sparsity": report.sparsity,
        f"{name}_solver_cpu_seconds_a_layer": timed.seconds / architecture.num_layers,
        f"{name}_all_cpu_seconds": time.process_time() - start,
    }
    print(json.dumps(row), flush=True)
    return row


def _perplexity(model: torch.nn.Module, heldout_NT: Tensor) -> float:
    return math.exp(statistics.fmean(token_nll(model, heldout_NT.numpy(), batch_size=2).ravel().tolist()))


if __name__ == "__main__":
    main()
