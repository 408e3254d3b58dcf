"""What this machine does at its best: bytes read from memory and FLOPs of a matrix product, each in a second."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from birdbone.evaluate.cost.results import MachineRates

_NUM_ROUNDS = 5
_BUFFER_BYTES = 2**29  # more than caches hold
_COLUMNS = 4096
_MATMUL_SIZE = {"cpu": 1536, "cuda": 8192}


def probe_machine(
    *, dtype: torch.dtype, device: str, buffer_bytes: int = _BUFFER_BYTES, matmul_size: int | None = None
) -> MachineRates:
    """Return the best of a few rounds, with the threads that torch has now.

    Memory is read by a sum and by a matrix times a vector, as decoding does; the faster counts.

    Args:
        dtype: of the matrix product.
        device: `cpu` or `cuda`.
        buffer_bytes: that a round reads.
        matmul_size: rows and columns of both matrices.
    """
    size = matmul_size or _MATMUL_SIZE[device]
    buffer_RC = torch.ones(max(1, buffer_bytes // (4 * _COLUMNS)), _COLUMNS, device=device)
    vector_C = torch.ones(_COLUMNS, device=device)
    read_seconds = min(_best(buffer_RC.sum, device), _best(lambda: buffer_RC @ vector_C, device))
    left, right = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    matmul_seconds = _best(lambda: left @ right, device)
    where = f"{torch.get_num_threads()} thread(s)" if device == "cpu" else torch.cuda.get_device_name()
    return MachineRates(
        bytes_per_second=buffer_RC.numel() * 4 / read_seconds,
        flops_per_second=2 * size**3 / matmul_seconds,
        bandwidth_method=f"best of {_NUM_ROUNDS} reads of {buffer_RC.numel() * 4 / 2**20:.0f} MiB, {where}",
        matmul_method=f"best of {_NUM_ROUNDS} products of two {size} x {size} matrices in {_name(dtype)}, {where}",
    )


def _best(work: Callable[[], torch.Tensor], device: str) -> float:
    seconds = []
    for _ in range(_NUM_ROUNDS + 1):  # the first one warms up
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
