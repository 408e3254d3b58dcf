"""The sums behind every figure of two tensors, in one pass over the bytes of both.

Symbols: b before, a after. Trap: the inner product does not come from |a|^2 + |b|^2 - |a - b|^2, which would save a
product; where one tensor is much the smaller, what is left of that difference is rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdbone.vault.formats.elements import as_bits, as_float64, element_bytes

_CHUNK_ELEMENTS = 1 << 15  # both sides and their difference stay in a core's second-level cache as float64


@dataclass(slots=True)
class ElementSums:
    """Counts of elements, and sums of squares in float64."""

    changed: int = 0
    zero_before: int = 0
    zero_after: int = 0
    zero_in_both: int = 0
    squares_difference: float = 0.0
    squares_before: float = 0.0
    squares_after: float = 0.0
    product: float = 0.0

    @property
    def zeroed(self) -> int:
        """Elements that became zero."""
        return self.zero_after - self.zero_in_both

    @property
    def regrown(self) -> int:
        """Elements that were zero and are not."""
        return self.zero_before - self.zero_in_both


def sum_elements(before: memoryview, after: memoryview, *, dtypes: tuple[str, str]) -> ElementSums:
    """Return the sums over two tensors of one shape.

    Args:
        before: bytes of a tensor.
        after: likewise.
        dtypes: of both; readable ones (`birdbone.vault.formats.elements`).

    Pieces are added in the order of the bytes, so the sums do not depend on how the work is shared out.
    """
    sums = ElementSums()
    steps = tuple(_CHUNK_ELEMENTS * element_bytes(dtype) for dtype in dtypes)
    for index in range(-(-len(before) // steps[0])):
        old = before[index * steps[0] : (index + 1) * steps[0]]
        new = after[index * steps[1] : (index + 1) * steps[1]]
        _add_piece(sums, old, new, dtypes=dtypes)
    return sums


def _add_piece(sums: ElementSums, old: memoryview, new: memoryview, *, dtypes: tuple[str, str]) -> None:
    before, after = as_float64(old, dtypes[0]), as_float64(new, dtypes[1])
    was_zero, is_zero = before == 0, after == 0
    sums.zero_before += int(np.count_nonzero(was_zero))
    sums.zero_after += int(np.count_nonzero(is_zero))
    sums.zero_in_both += int(np.count_nonzero(was_zero & is_zero))
    sums.changed += _num_changed(old, new, before, after, dtypes=dtypes)
    with np.errstate(invalid="ignore", over="ignore"):
        sums.squares_before += _inner(before, before)
        sums.squares_after += _inner(after, after)
        sums.product += _inner(before, after)
        after -= before
        sums.squares_difference += _inner(after, after)


def _num_changed(
    old: memoryview, new: memoryview, before: NDArray[Any], after: NDArray[Any], *, dtypes: tuple[str, str]
) -> int:
    if dtypes[0] == dtypes[1]:
        return int(np.count_nonzero(as_bits(old, dtypes[0]) != as_bits(new, dtypes[1])))
    both_nan = np.isnan(before) & np.isnan(after)
    return int(np.count_nonzero((before != after) & ~both_nan))


def _inner(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return float(np.einsum("i,i->", left, right))  # not `dot`: a BLAS would start threads for it


def cosine(squares_before: float, squares_after: float, product: float) -> float | None:
    """Return <a, b> / (|a| |b|); None if a norm is zero or a sum is not finite."""
    norms = math.sqrt(squares_before) * math.sqrt(squares_after)
    return product / norms if norms and math.isfinite(product / norms) else None
