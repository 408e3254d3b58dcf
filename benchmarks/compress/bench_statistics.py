"""What one pass for all activation statistics costs over a plain forward.

Question: how much longer than a plain forward does a model take to give, on the same tokens, the Gram matrix XᵀX of
every linear's input, from which Wanda's score, the imatrix (both E[x²]) and the Hessian of the layer's output are read?
The bar is 1.3 times.
Method: `collect_statistics` and the plain forward on the same windows of the bundled calibration text, in the same
process, at the same threads and batch; one unmeasured turn of each, then turns in alternating order, so that a
neighbour's load falls on both. Wall clock and CPU seconds of each turn; the ratio is taken turn by turn. Medians, with
the extremes as their range. The first tokens are weighted as in the recipes.
Peer: the same model's own forward, head and logits included, without hooks: what any pass over the text costs anyway.

Run: `python benchmarks/compress/bench_statistics.py [--model starter] [--repeats 5] [--output PATH]`. Prints one JSON
row; `make bench` stores it in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rows import provenance, spread, tell
from torch import Tensor

from birdbone.compress.statistics import collect_statistics
from birdbone.data import load_corpus, token_windows
from birdbone.models import LoadedModel, load_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Seconds of one pass."""

    wall: float
    cpu: float


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    row = _measure(load_model(settings.model), settings)
    tell(row, settings.output)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cost of the statistics pass over a plain forward.")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--num-windows", type=int, default=4)
    parser.add_argument("--window-tokens", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--first-token-share", type=float, default=0.1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _measure(loaded: LoadedModel, settings: argparse.Namespace) -> dict[str, Any]:
    windows_NT = _windows(loaded, settings)

    def plain() -> None:
        with torch.no_grad():
            for start in range(0, len(windows_NT), settings.batch_size):
                loaded.model(input_ids=windows_NT[start : start + settings.batch_size], use_cache=False)

    def with_statistics() -> None:
        collect_statistics(
            loaded.model,
            loaded.architecture,
            windows_NT,
            batch_size=settings.batch_size,
            first_token_share=settings.first_token_share,
        )

    return {
        **provenance(settings, "compress/bench_statistics"),
        "num_tokens": windows_NT.numel(),
        **_compare(plain, with_statistics, settings),
    }


def _windows(loaded: LoadedModel, settings: argparse.Namespace) -> Tensor:
    texts = load_corpus().calibration
    return torch.from_numpy(
        token_windows(texts, loaded.encode, window=settings.window_tokens, count=settings.num_windows)
    )


def _compare(
    plain: Callable[[], None], with_statistics: Callable[[], None], settings: argparse.Namespace
) -> dict[str, float]:
    plain()
    with_statistics()
    pairs = [_one_turn(plain, with_statistics, is_plain_first=turn % 2 == 0) for turn in range(settings.repeats)]
    return {
        **spread("statistics_over_forward_cpu", [ours.cpu / peer.cpu for peer, ours in pairs]),
        **spread("statistics_over_forward_wall", [ours.wall / peer.wall for peer, ours in pairs]),
        **spread("forward_cpu_seconds", [peer.cpu for peer, _ in pairs]),
        **spread("statistics_cpu_seconds", [ours.cpu for _, ours in pairs]),
        **spread("forward_wall_seconds", [peer.wall for peer, _ in pairs]),
        **spread("statistics_wall_seconds", [ours.wall for _, ours in pairs]),
    }


def _one_turn(
    plain: Callable[[], None], with_statistics: Callable[[], None], *, is_plain_first: bool
) -> tuple[Turn, Turn]:
    if is_plain_first:
        return _timed(plain), _timed(with_statistics)
    ours = _timed(with_statistics)
    return _timed(plain), ours


def _timed(run: Callable[[], None]) -> Turn:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Turn(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


if __name__ == "__main__":
    main()
