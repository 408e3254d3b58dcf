"""How many distinct values a tensor holds: three for ternary weights, 2^b for a grid of b bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdbone.vault.formats.elements import as_float64, element_bytes

MAX_LEVELS = 256
"""More distinct values than a grid of eight bits has are no longer counted."""

_PROBE_ELEMENTS = 1024  # weights that were never rounded show their many values here at once
_CHUNK_ELEMENTS = 1 << 16


def count_levels(raw: memoryview, dtype: str) -> int | None:
    """Return the number of distinct values of a tensor; 0 and -0 are one.

    Args:
        raw: its bytes.
        dtype: a readable one.

    Returns:
        The number; None where it says nothing of rounding: more than 256, or more than half as many as elements.
    """
    size = element_bytes(dtype)
    most = min(MAX_LEVELS, len(raw) // size // 2)
    seen: NDArray[Any] = np.zeros(0)
    start, step = 0, _PROBE_ELEMENTS
    while start * size < len(raw):
        values = as_float64(raw[start * size : (start + step) * size], dtype)
        seen = np.union1d(seen, values)
        if len(seen) > most:
            return None
        start, step = start + step, _CHUNK_ELEMENTS
    return len(seen) or None


def count_row_levels(raw: memoryview, dtype: str, shape: tuple[int, ...]) -> int | None:
    """Return the most distinct values in a row: what is left of a grid whose step differs from row to row.

    None as in `count_levels`, row by row, and for a tensor of fewer than two dimensions.
    """
    if len(shape) < 2 or not len(raw):
        return None
    size = element_bytes(dtype) * (len(raw) // element_bytes(dtype) // shape[0])
    most = 0
    for row in range(shape[0]):
        found = count_levels(raw[row * size : (row + 1) * size], dtype)
        if found is None:
            return None
        most = max(most, found)
    return most
