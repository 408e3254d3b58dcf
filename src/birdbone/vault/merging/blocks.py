"""Walking tensors block by block: read as float32 and found finite, worked on, written in their dtype.

A block fits a core's second-level cache a few times over. What comes of it depends on the block alone (its random bits
too), and sums are added in the order of the blocks, so a thread pool changes the speed and not one bit of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from birdbone.vault.errors import UnmergeableError

Array = NDArray[Any]
Floats = NDArray[np.float32]

BLOCK = 1 << 16  # 256 KiB as float32: a handful of them stay in the second-level cache

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Part:
    """A block: its number and the elements from `start` to `stop`."""

    number: int
    start: int
    stop: int

    @property
    def slice(self) -> slice:
        """The elements, as an index."""
        return slice(self.start, self.stop)


def blocks_of(num: int, *, step: int = BLOCK) -> list[Part]:
    """Return the blocks of `num` elements, in order."""
    return [Part(number, start, min(start + step, num)) for number, start in enumerate(range(0, num, step))]


def run(work: Callable[[Part], _Result], parts: Iterable[Part], pool: Executor | None) -> list[_Result]:
    """Return what `work` gives for each block, in their order; the pool may take them in any."""
    parts = list(parts)
    if pool is None or len(parts) < 2:
        return [work(part) for part in parts]
    return list(pool.map(work, parts))


def flat(tensor: Array) -> Array:
    """Return the elements in C order; no copy if they lie so."""
    return np.ascontiguousarray(tensor).reshape(-1)


def read_delta(source: Array, origin: Floats, part: Part) -> Floats:
    """Return the block of a model less that of the base. Raises what `read_finite` does."""
    values = read_finite(source, part)
    return np.subtract(values, origin, out=None if source.dtype == np.float32 else values)


def read_finite(source: Array, part: Part) -> Floats:
    """Return a block as float32.

    Raises:
        UnmergeableError: a value is not finite.
    """
    values = as_floats(source[part.slice])
    if not np.isfinite(values).all():
        raise UnmergeableError("A tensor has values that are not finite (NaN or infinite); they cannot be merged.")
    return values


def as_floats(values: Array) -> Floats:
    """Return `values` as float32: itself if it is that already."""
    if values.dtype == np.uint16:
        return np.left_shift(values, 16, dtype=np.uint32).view(np.float32)
    return values.astype(np.float32, copy=False)


def write(values: Floats, target: Array, part: Part) -> None:
    """Write a block in the dtype of the target, rounded to the nearest, ties to even.

    Raises:
        UnmergeableError: a value is beyond the dtype's range.
    """
    if target.dtype == np.uint16:
        bits = values.view(np.uint32)
        rounded = bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))  # half of the last place, ties to even
        target[part.slice] = rounded >> 16
        is_finite = bool(((target[part.slice] & 0x7F80) != 0x7F80).all()) and bool(np.isfinite(values).all())
    else:
        with np.errstate(over="ignore"):
            target[part.slice] = values
        is_finite = bool(np.isfinite(target[part.slice]).all())
    if not is_finite:
        raise UnmergeableError("The merged tensor has values beyond the range of its dtype.")
