"""How many bytes a second this machine reads from memory: measured, by a sum over far more than the caches hold."""

from __future__ import annotations

import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdbone.watch.resources import sample_resources

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_SIZE = re.compile(r"(\d+)([KMG]?)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_LEAST_BYTES, _MOST_BYTES = 2**28, 2**31
_TIMES_THE_CACHE = 4
_MOST_SHARE_OF_FREE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """What a streaming read came to: the median over rounds, and the slowest and fastest of them."""

    bytes_per_second: float
    slowest: float
    fastest: float
    buffer_bytes: int
    """Read in each round."""
    num_threads: int


def measure_bandwidth(*, num_threads: int = 1, rounds: int = 7, buffer_bytes: int | None = None) -> Bandwidth:
    """Return the bytes a second that so many threads read together. Takes about a second.

    Args:
        num_threads: each reads a part of its own.
        rounds: timed reads of the whole buffer; one more goes first, untimed.
        buffer_bytes: what a round reads; by itself four times the largest cache and at least 256 MiB, but at most a
            quarter of the memory that is free.
    """
    size = buffer_bytes or _buffer_size()
    parts = np.array_split(np.ones(max(num_threads, size // 8)), num_threads)
    with ThreadPoolExecutor(num_threads) as pool:
        seconds = [_read_once(pool, parts) for _ in range(rounds + 1)][1:]
    read = sum(part.nbytes for part in parts)
    return Bandwidth(
        bytes_per_second=read / statistics.median(seconds),
        slowest=read / max(seconds),
        fastest=read / min(seconds),
        buffer_bytes=read,
        num_threads=num_threads,
    )


def largest_cache_bytes() -> int | None:
    """Return the size of the largest cache that the first core has; None where the system does not say."""
    found = [_size_of(path) for path in _CACHES.glob("index*/size")]
    return max((size for size in found if size), default=None)


def _read_once(pool: ThreadPoolExecutor, parts: list[NDArray[np.float64]]) -> float:
    start = time.perf_counter()
    list(pool.map(np.add.reduce, parts))
    return time.perf_counter() - start


def _buffer_size() -> int:
    wanted = max(_LEAST_BYTES, _TIMES_THE_CACHE * (largest_cache_bytes() or 0))
    free = int(_MOST_SHARE_OF_FREE * sample_resources().memory_available_bytes)
    return min(wanted, _MOST_BYTES, max(2**20, free))


def _size_of(path: Path) -> int | None:
    try:
        found = _SIZE.match(path.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return int(found.group(1)) * _UNITS[found.group(2)] if found else None
