"""Choosing the dtype to compute in, by timing instead of by what the processor claims.

A processor may list bf16 instructions that PyTorch does not use, or use them slower than float32, so the only answer
is to multiply two matrices and look at the clock.

Waiting threads. OpenMP's threads spin while they wait, which on a busy machine takes the cores from those that work:
two threads can then be ten times slower than one. `OMP_WAIT_POLICY=PASSIVE` stops the spinning, but OpenMP reads it
once, when torch is first imported. So it cannot be set here: the command line's entry point sets it before torch.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class DtypeTiming:
    """Best time of one matrix product in one dtype, on this machine at this moment."""

    dtype: torch.dtype
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DtypeChoice:
    """The dtype to compute in and the timings it was chosen by, in the order of the candidates."""

    dtype: torch.dtype
    timings: tuple[DtypeTiming, ...]
    shape: tuple[int, int, int]
    num_threads: int


def choose_compute_dtype(
    *,
    candidates: Sequence[torch.dtype] = (torch.float32, torch.bfloat16),
    shape: tuple[int, int, int] = (256, 576, 1536),
    num_repeats: int = 5,
    min_speedup: float = 1.2,
) -> DtypeChoice:
    """Return the fastest of `candidates` at an (M, K) by (K, N) product, with all timings.

    Args:
        candidates: the first is the one to stay with: another must be `min_speedup` times as fast to take its place,
            so that precision is not given away for noise.
        shape: M, K, N; take the hidden sizes of the model and the tokens of a batch.
        num_repeats: each candidate's best of so many; interleaved, so that a passing load hits all alike.
        min_speedup: at least 1.
    """
    best = dict.fromkeys(candidates, float("inf"))
    operands = {dtype: _operands(shape, dtype) for dtype in candidates}
    for _ in range(num_repeats):
        for dtype, (left, right) in operands.items():
            best[dtype] = min(best[dtype], _seconds(left, right))
    fastest = min(candidates, key=best.__getitem__)
    stays = best[candidates[0]] < best[fastest] * min_speedup
    return DtypeChoice(
        dtype=candidates[0] if stays else fastest,
        timings=tuple(DtypeTiming(dtype=dtype, seconds=best[dtype]) for dtype in candidates),
        shape=shape,
        num_threads=torch.get_num_threads(),
    )


def use_threads(num_threads: int) -> int:
    """Make torch compute with `num_threads` and return how many it used before.

    Raises:
        ValueError: less than 1.
    """
    if num_threads < 1:
        raise ValueError(f"Expected at least 1 thread, got {num_threads}.")
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    return before


@contextlib.contextmanager
def at_most_threads(num_threads: int) -> Iterator[None]:
    """Let torch compute with no more than `num_threads` while the block runs."""
    before = use_threads(min(num_threads, torch.get_num_threads()))
    try:
        yield
    finally:
        use_threads(before)


def _operands(shape: tuple[int, int, int], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows, inner, columns = shape
    left = torch.randn(rows, inner, generator=generator).to(dtype)
    right = torch.randn(columns, inner, generator=generator).to(dtype)
    return left, right.t()


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    start = time.perf_counter()
    torch.mm(left, right)
    return time.perf_counter() - start


@contextlib.contextmanager
def compute_in(dtype: str) -> Iterator[None]:
    """Run matrix products of the block in `bfloat16` (autocast) or, for any other name, as the weights are."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
        yield
