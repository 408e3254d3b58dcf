"""What the way back costs: gradients of every linear, window by window, beside what torch's own backward takes.

Question: the pass that gives activation statistics is sent back block by block for the first and second moment of
every weight's gradient over windows. How much longer does that take than a plain forward, and than the same moments
by torch's own backward, and how much more memory does each hold at most? The plain pass alone, with what entered each
block recorded for the way back, has to stay at 1.3 times a forward.
Method: each way on the same windows of the bundled calibration text, in the same process, on the same threads; one
unmeasured turn of each, then turns in rotating order, so that a neighbour's load falls on all. CPU seconds over those
of the plain forward, turn by turn; medians, with the extremes as their range. Memory is the highest resident size
sampled during a turn less that before it, the largest over turns; an allocator that keeps freed pages can hide some of
it. Both ways have to give the same moments: the row says how far apart they are.
Peer: torch, one backward a window through the whole model, its gradients added up with their squares.

Run: `python benchmarks/compress/bench_gradients.py [--model starter] [--repeats 5] [--output PATH]`. Prints one JSON
row; `make bench` stores it in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rows import provenance, spread, tell
from torch import Tensor

from birdbone.compress.gradients import backward_blocks, recording_block_inputs
from birdbone.compress.statistics import collect_statistics
from birdbone.data import load_corpus, token_windows
from birdbone.models import LoadedModel, load_model
from birdbone.train.loop import trainable
from birdbone.watch import ResourceMonitor, sample_resources

Moments = dict[str, tuple[Tensor, Tensor]]


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    row = _measure(load_model(settings.model), settings)
    tell(row, settings.output)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cost of gradient statistics over a plain forward and over torch.")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--num-windows", type=int, default=4)
    parser.add_argument("--window-tokens", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _measure(loaded: LoadedModel, settings: argparse.Namespace) -> dict[str, Any]:
    windows_NT = _windows(loaded, settings)
    difference = _largest_difference(_ours(loaded, windows_NT, settings), _peer(loaded, windows_NT))
    ways: dict[str, Callable[[], Any]] = {
        "forward": lambda: _forward(loaded, windows_NT, settings),
        "statistics": lambda: _statistics(loaded, windows_NT, settings),
        "gradients": lambda: _consume(loaded, windows_NT, settings),
        "torch_backward": lambda: _peer(loaded, windows_NT),
    }
    return {
        **provenance(settings, "compress/bench_gradients"),
        "num_tokens": windows_NT.numel(),
        "largest_relative_difference": difference,
        **_compare(ways, settings.repeats),
    }


def _windows(loaded: LoadedModel, settings: argparse.Namespace) -> Tensor:
    texts = load_corpus().calibration
    return torch.from_numpy(
        token_windows(texts, loaded.encode, window=settings.window_tokens, count=settings.num_windows)
    )


@torch.no_grad()
def _forward(loaded: LoadedModel, windows_NT: Tensor, settings: argparse.Namespace) -> None:
    for start in range(0, len(windows_NT), settings.batch_size):
        loaded.model(input_ids=windows_NT[start : start + settings.batch_size], use_cache=False)


def _statistics(loaded: LoadedModel, windows_NT: Tensor, settings: argparse.Namespace) -> None:
    """The plain pass as it is when a way back follows."""
    with recording_block_inputs(loaded.model, loaded.architecture):
        collect_statistics(loaded.model, loaded.architecture, windows_NT, batch_size=settings.batch_size)


def _blocks(loaded: LoadedModel, windows_NT: Tensor, settings: argparse.Namespace) -> Any:
    with recording_block_inputs(loaded.model, loaded.architecture) as inputs:
        collect_statistics(loaded.model, loaded.architecture, windows_NT, batch_size=settings.batch_size)
    return backward_blocks(loaded.model, loaded.architecture, windows_NT, inputs)


def _consume(loaded: LoadedModel, windows_NT: Tensor, settings: argparse.Namespace) -> None:
    """Statistics and gradients, each block's dropped when the next comes."""
    for _ in _blocks(loaded, windows_NT, settings):
        pass


def _ours(loaded: LoadedModel, windows_NT: Tensor, settings: argparse.Namespace) -> Moments:
    return {
        path: (found.mean_FD, found.mean_square_FD)
        for block in _blocks(loaded, windows_NT, settings)
        for path, found in block.items()
    }


def _peer(loaded: LoadedModel, windows_NT: Tensor) -> Moments:
    paths = loaded.architecture.linear_paths
    weights = [loaded.model.get_parameter(f"{path}.weight") for path in paths]
    sums = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in weights]
    with trainable(weights):
        for window_T in windows_NT:
            loss = loaded.model(input_ids=window_T[None], labels=window_T[None], use_cache=False).loss
            for (first, second), gradient in zip(sums, torch.autograd.grad(loss, weights), strict=True):
                first += gradient
                second.addcmul_(gradient, gradient)
    count = len(windows_NT)
    return {path: (first / count, second / count) for path, (first, second) in zip(paths, sums, strict=True)}


def _largest_difference(ours: Moments, peer: Moments) -> float:
    """Return the largest difference of a linear's moments, over their largest entry."""
    pairs = [pair for path in peer for pair in zip(ours[path], peer[path], strict=True)]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def _compare(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    extra: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            cpu, memory = _timed(ways[name])
            seconds[name].append(cpu)
            extra[name].append(memory)
    found: dict[str, float] = {}
    for name in names[1:]:
        ratios = [ours / plain for ours, plain in zip(seconds[name], seconds["forward"], strict=True)]
        found |= spread(f"{name}_over_forward_cpu", ratios)
    for name in names:
        found |= spread(f"{name}_cpu_seconds", seconds[name])
        found[f"{name}_extra_mib"] = max(extra[name]) / 2**20
    return found


def _timed(run: Callable[[], Any]) -> tuple[float, float]:
    before = sample_resources().rss_bytes
    cpu = time.process_time()
    with ResourceMonitor(interval_seconds=0.02) as monitor:
        run()
    return time.process_time() - cpu, monitor.peak_rss_bytes - before


if __name__ == "__main__":
    main()
