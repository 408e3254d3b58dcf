"""How much of what pruning cost healing wins back in five CPU-minutes, beside LoRA as it is usually done.

Question: with half of the starter model's weights at zero, what share of the lost log-perplexity does each way of
healing win back within 64,000 tokens and 300 CPU-seconds of one thread? The bar is one half, and more than 300 steps of
LoRA win back in the same CPU-seconds. And how many pruned weights are no longer zero?
Method: masks and values from the mask solver at an even budget (or plain Wanda masks, nothing refitted), calibrated on
windows of WikiText-2's validation text; healing on windows of the same text; perplexity on windows spread over its test
text, and on the bundled held-out text, which healing did not prepare for. Each way takes as many steps as fit into the
seconds by a pilot of three; what it really took is in the row. The interval is a paired bootstrap over test windows.
Perplexity also falls by learning the kind of text, which is no mending. So there is the divergence from the dense
model, a way that learns from the dense model alone, and a control: the dense model, healed as the first way heals.
Peer: LoRA of rank 8 on q and v by the text's next token, without masks, 300 steps with windows as long as the seconds
allow; merged, then masked again, as its users do.

Run: `python benchmarks/compress/bench_healing.py --text FOLDER [--masks admm wanda] [--ways distill] [--output PATH]`
with WikiText-2's `valid.txt` and `test.txt` in the folder. Prints one JSON row.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import provenance, tell
from torch import Tensor

from birdbone.compress.config import (
    BlockwiseConfig,
    DistillConfig,
    EvenBudget,
    HealConfig,
    LoraConfig,
    MaskConfig,
    UnstructuredPattern,
)
from birdbone.compress.healing import HealReport, heal_model, share_won_back
from birdbone.compress.masks.blocks import drop_only, prune_blocks, solve_group
from birdbone.data import load_corpus, token_windows
from birdbone.evaluate.divergence import divergence, model_logits
from birdbone.evaluate.perplexity import token_nll
from birdbone.models import LoadedModel, load_model

SOLVERS = {"admm": solve_group, "wanda": drop_only}
WAYS = ("distill", "dense_only", "blockwise", "masked_lora", "lora_300")
NUM_KL_WINDOWS = 4
PILOT_STEPS, PEER_STEPS = 3, 300
PEER_PILOT_WINDOWS = (32, 128)
SHARE_OF_BUDGET = 0.95
"""The rest is for steps that take longer than those of the pilot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of healing: its settings but for the number of steps, the tokens of a window, and whether masks hold."""

    config: HealConfig
    window: int
    is_masked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every way is measured with."""

    dense: LoadedModel
    settings: argparse.Namespace
    healing_ids: Tensor
    test_NT: Tensor
    other_NT: Tensor

    def windows(self, window: int) -> Tensor:
        """Return healing windows of a length, in an order drawn by the seed."""
        count = len(self.healing_ids) // window
        order = torch.randperm(count, generator=torch.Generator().manual_seed(self.settings.seed))
        return self.healing_ids[: count * window].reshape(count, window)[order]

    def nll(self, model: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
        """Return likelihoods of the test text and of the other text."""
        return tuple(token_nll(model, each.numpy(), batch_size=2) for each in (self.test_NT, self.other_NT))

    def kl(self, model: torch.nn.Module) -> float:
        """Return the mean divergence from the dense model on the first test windows, in nats a token."""
        return divergence(
            model_logits(self.dense.model),
            model_logits(model),
            self.test_NT[:NUM_KL_WINDOWS].numpy(),
            generator=np.random.default_rng(self.settings.seed),
        ).kl


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    bench = _open(settings)
    dense = bench.nll(bench.dense.model)
    row = provenance(settings, "compress/bench_healing") | {
        "dense_perplexity": _perplexity(dense[0]),
        "dense_other_perplexity": _perplexity(dense[1]),
    }
    for kind in settings.masks:
        pruned = _prune(bench, kind)
        before = bench.nll(pruned)
        row |= {f"{kind}_perplexity": _perplexity(before[0]), f"{kind}_other_perplexity": _perplexity(before[1])}
        row |= {f"{kind}_kl": bench.kl(pruned)}
        for name in settings.ways:
            found = _measure(bench, name, pruned, dense, before)
            row |= {f"{kind}_{name}_{key}": value for key, value in found.items()}
            print(json.dumps({kind: {name: found}}), flush=True)
    if settings.control:
        row |= _control(bench, dense)
    tell(row, settings.output)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What healing wins back in five CPU-minutes.")
    parser.add_argument("--text", type=Path, required=True, help="Folder with valid.txt and test.txt of WikiText-2.")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--masks", nargs="+", default=["admm"], choices=list(SOLVERS))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--cpu-seconds", type=float, default=300.0)
    parser.add_argument("--max-tokens", type=int, default=64_000)
    parser.add_argument("--num-calibration-windows", type=int, default=8)
    parser.add_argument("--num-test-windows", type=int, default=16)
    parser.add_argument("--window-tokens", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--control", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _open(settings: argparse.Namespace) -> Bench:
    loaded = load_model(settings.model)

    def spread(name: str, count: int) -> Tensor:
        text = torch.tensor(loaded.encode((settings.text / name).read_text(encoding="utf-8")))
        windows_NT = text[: len(text) // settings.window_tokens * settings.window_tokens].reshape(
            -1, settings.window_tokens
        )
        return windows_NT[:: max(1, len(windows_NT) // count)][:count]

    other = token_windows(
        load_corpus().heldout, loaded.encode, window=settings.window_tokens, count=settings.num_test_windows // 2
    )
    return Bench(
        dense=loaded,
        settings=settings,
        healing_ids=torch.tensor(loaded.encode((settings.text / "valid.txt").read_text(encoding="utf-8"))),
        test_NT=spread("test.txt", settings.num_test_windows),
        other_NT=torch.from_numpy(other),
    )


def _prune(bench: Bench, kind: str) -> Any:
    """Return the model with the share of each linear's weights at zero."""
    settings, model, architecture = bench.settings, copy.deepcopy(bench.dense.model), bench.dense.architecture
    count = len(bench.healing_ids) // settings.window_tokens
    windows_NT = bench.healing_ids[: count * settings.window_tokens].reshape(count, -1)
    every = count // settings.num_calibration_windows
    config = MaskConfig(pattern=UnstructuredPattern(share=settings.share), budget=EvenBudget())
    prune_blocks(
        model,
        architecture,
        windows_NT[::every][: settings.num_calibration_windows],
        config,
        sparsities=dict.fromkeys(architecture.linear_paths, settings.share),
        solve=SOLVERS[kind],
    )
    return model


def _measure(bench: Bench, name: str, pruned: Any, dense: Any, before: Any) -> dict[str, Any]:
    way = _fitting(bench, name, pruned)
    healed = copy.deepcopy(pruned)
    report = _heal(bench, way, healed)
    masks = {path: pruned.get_parameter(f"{path}.weight") != 0 for path in bench.dense.architecture.linear_paths}
    num_revived = 0
    for path, mask_FD in masks.items():
        weight_FD = healed.get_parameter(f"{path}.weight")
        num_revived += int((weight_FD[~mask_FD] != 0).sum())
        with torch.no_grad():
            weight_FD.mul_(mask_FD)
    after = bench.nll(healed)
    won = share_won_back(dense[0], before[0], after[0], seed=bench.settings.seed)
    other = share_won_back(dense[1], before[1], after[1], seed=bench.settings.seed)
    return {
        "perplexity": _perplexity(after[0]),
        "other_perplexity": _perplexity(after[1]),
        "kl": bench.kl(healed),
        "won_back": None if won is None else won.value,
        "won_back_min": None if won is None else won.low,
        "won_back_max": None if won is None else won.high,
        "other_won_back": None if other is None else other.value,
        "zeros_revived": num_revived,
        "is_kept": report.is_kept,
        "cpu_seconds": report.cpu_seconds,
        "num_tokens": report.num_tokens,
        "num_steps": report.num_steps,
        "window_tokens": way.window,
        "num_learned": report.num_learned,
    }


def _way(name: str, window: int | None = None) -> Way:
    """Return the settings of a way; the number of steps is that of a pilot."""
    pilot = {"num_steps": PILOT_STEPS}
    if name == "distill":
        return Way(
            config=DistillConfig(**pilot, batch_size=1, learning_rate=4e-4, distill_share=0.5), window=window or 256
        )
    if name == "dense_only":
        config = DistillConfig(**pilot, batch_size=2, learning_rate=1e-4, distill_share=1.0)
        return Way(config=config, window=window or 256)
    if name == "blockwise":
        return Way(config=BlockwiseConfig(**pilot, batch_size=2, learning_rate=3e-4), window=window or 256)
    if name == "masked_lora":
        config = LoraConfig(**pilot, batch_size=1, learning_rate=1e-3, rank=16, alpha=32.0, should_train_norms=True)
        return Way(config=config, window=window or 256)
    peer = LoraConfig(**pilot, batch_size=1, learning_rate=1e-3, roles=("q", "v"), distill_share=0.0)
    return Way(config=peer, window=window or 64, is_masked=False)


def _fitting(bench: Bench, name: str, pruned: Any) -> Way:
    """Return the way with as many steps as fit; the peer has its steps, and windows as long as fit."""
    settings = bench.settings
    if name == "lora_300":
        return _with_steps(bench, _way(name, window=_peer_window(bench, pruned)), PEER_STEPS)
    way = _way(name)
    seconds, fixed = _pilot(bench, way, pruned)
    left = SHARE_OF_BUDGET * settings.cpu_seconds - fixed
    tokens_a_step = way.window * way.config.batch_size
    return _with_steps(bench, way, max(1, min(int(left / seconds), settings.max_tokens // tokens_a_step)))


def _peer_window(bench: Bench, pruned: Any) -> int:
    """Return the window with which 300 steps of the peer fit: a step's seconds are a line over its tokens."""
    (short, fixed), (long, _) = (_pilot(bench, _way("lora_300", window), pruned) for window in PEER_PILOT_WINDOWS)
    a_token = max(1e-9, (long - short) / (PEER_PILOT_WINDOWS[1] - PEER_PILOT_WINDOWS[0]))
    a_step = short - a_token * PEER_PILOT_WINDOWS[0]
    left = (SHARE_OF_BUDGET * bench.settings.cpu_seconds - fixed) / PEER_STEPS - a_step
    tokens = min(left / a_token, bench.settings.max_tokens / PEER_STEPS)
    return max(8, int(tokens) // 8 * 8)


def _pilot(bench: Bench, way: Way, pruned: Any) -> tuple[float, float]:
    """Return the CPU-seconds of a step and those beside the steps; block by block a round of all blocks is a step."""
    times: list[float] = []
    is_blockwise = isinstance(way.config, BlockwiseConfig)
    pilot = _with_steps(bench, way, PILOT_STEPS)
    start = time.process_time()
    _heal(bench, pilot, copy.deepcopy(pruned), progress=lambda _done, _total: times.append(time.process_time()))
    total = time.process_time() - start
    if is_blockwise:
        return total / PILOT_STEPS, 0.0
    a_step = (times[PILOT_STEPS - 1] - times[0]) / (PILOT_STEPS - 1)
    return a_step, max(0.0, total - PILOT_STEPS * a_step)


def _with_steps(bench: Bench, way: Way, num_steps: int) -> Way:
    rounds = bench.dense.architecture.num_layers if isinstance(way.config, BlockwiseConfig) else 1
    changes = {"num_steps": num_steps * rounds, "num_windows": num_steps * way.config.batch_size}
    return Way(config=way.config.model_copy(update=changes), window=way.window, is_masked=way.is_masked)


def _heal(bench: Bench, way: Way, model: Any, progress: Any = lambda _done, _total: None) -> HealReport:
    windows_NT, config = bench.windows(way.window), way.config
    paths = bench.dense.architecture.linear_paths
    masks = {path: model.get_parameter(f"{path}.weight") != 0 for path in paths} if way.is_masked else {}
    is_blockwise = isinstance(config, BlockwiseConfig)
    return heal_model(
        model,
        bench.dense.model,
        bench.dense.architecture,
        windows_NT=windows_NT[: config.num_windows],
        masks=masks,
        config=config,
        deciding_NT=None if is_blockwise else windows_NT[-max(1, 1024 // way.window) :],
        progress=progress,
    )


def _control(bench: Bench, dense: Any) -> dict[str, Any]:
    """Return what the dense model gains where it is healed as the first way heals, from the text alone."""
    way = _fitting(bench, bench.settings.ways[0], bench.dense.model)
    healed = copy.deepcopy(bench.dense.model)
    report = _heal(bench, way, healed)
    after = bench.nll(healed)
    return {
        "control_perplexity": _perplexity(after[0]),
        "control_other_perplexity": _perplexity(after[1]),
        "control_gain_nats": float(dense[0].mean() - after[0].mean()),
        "control_num_tokens": report.num_tokens,
    }


def _perplexity(nll_NP: np.ndarray) -> float:
    return math.exp(float(nll_NP.mean()))


if __name__ == "__main__":
    main()
