"""Timing kernels side by side. Shapes: M tokens at once, F out_features, D in_features."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.dispatch.cache import DispatchCache, dispatch_key
from birdbone.compress.dispatch.decision import Dispatch, KernelTiming, decide
from birdbone.compress.dispatch.kernels import Kernel, KernelName, make_kernels
from birdbone.compress.lowrank import Factors

Clock = Callable[[], float]


def dispatch_linear(
    w_FD: Float[Tensor, "F D"],
    x_MD: Float[Tensor, "M D"],
    *,
    factors: Factors | None = None,
    cache: DispatchCache | None = None,
    repeats: int = 15,
    clock: Clock = time.perf_counter,
) -> Dispatch:
    """Return which kernel computes this linear fastest for this many tokens, on this machine at these threads.

    Args:
        w_FD: its weight, with its zeros. Not changed.
        x_MD: inputs as they will come; M decides much.
        factors: what `low_rank` would compute with.
        cache: asked first, and told; the answer depends on the hardware, the threads, the shapes and the zeros.
        repeats: timed calls of each kernel, in turns, so that a neighbour's load falls on all.
        clock: gives seconds.
    """
    rank, share = None if factors is None else factors.rank, float((w_FD == 0).float().mean())
    key = dispatch_key(tuple(w_FD.shape), num_tokens=len(x_MD), rank=rank, zero_share=share)
    if cache is not None and (known := cache.find(key)) is not None:
        return known
    kernels, missing = make_kernels(w_FD, factors=factors)
    timings = time_kernels(kernels, x_MD, repeats=repeats, clock=clock)
    found = decide(timings, missing={str(name): reason for name, reason in missing.items()})
    if cache is not None:
        cache.keep(key, found)
    return found


@torch.no_grad()
def time_kernels(
    kernels: Mapping[KernelName, Kernel],
    x_MD: Float[Tensor, "M D"],
    *,
    repeats: int = 15,
    clock: Clock = time.perf_counter,
) -> tuple[KernelTiming, ...]:
    """Return the median time of each kernel after a warm call, and how far its output is from that of `dense_fp32`."""
    dense_MF = kernels["dense_fp32"](x_MD)
    power = float(dense_MF.square().sum()) or 1.0
    errors = {name: float((kernel(x_MD) - dense_MF).square().sum()) / power for name, kernel in kernels.items()}
    seconds: dict[KernelName, list[float]] = {name: [] for name in kernels}
    for _ in range(repeats):
        for name, kernel in kernels.items():
            begin = clock()
            kernel(x_MD)
            seconds[name].append(clock() - begin)
    return tuple(
        KernelTiming(
            kernel=name,
            seconds=statistics.median(each),
            seconds_min=min(each),
            seconds_max=max(each),
            relative_error=errors[name],
        )
        for name, each in seconds.items()
    )
