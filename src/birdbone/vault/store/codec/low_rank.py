"""A low-rank update added to a matrix so that every machine gets the same bits.

A BLAS sums in an order of its own, so a merged adapter could not be made again elsewhere bit by bit. Here the sum runs
over the rank in order, in float32, one product and one sum at a time, which IEEE 754 rounds in one way only.
Shapes: O rows (out_features), I columns (in_features), R rank.
Source: Hu et al. 2021, arXiv:2106.09685, equation 3 (W + s B A).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdbone.vault.store.codec.planes import Elements

FLOAT_DTYPES = ("F32", "F16", "BF16")
"""Dtypes that an update can be added to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRankUpdate:
    """W becomes W + scale * b @ a. `a` has shape (R, I), `b` (O, R), both float32."""

    a: NDArray[np.float32]
    b: NDArray[np.float32]
    scale: float

    def __post_init__(self) -> None:
        """Check that the shapes belong together, and take the factors as they are stored: float32, row by row."""
        object.__setattr__(self, "a", np.ascontiguousarray(self.a, np.float32))
        object.__setattr__(self, "b", np.ascontiguousarray(self.b, np.float32))
        object.__setattr__(self, "scale", float(self.scale))
        if self.a.ndim != 2 or self.b.ndim != 2 or self.a.shape[0] != self.b.shape[1]:
            raise ValueError(f"a of shape {self.a.shape} and b of shape {self.b.shape} are no (R, I) and (O, R)")

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (O, I) of the matrix that it is added to."""
        return self.b.shape[0], self.a.shape[1]


def add_low_rank(bits: Elements, update: LowRankUpdate, *, dtype: str) -> Elements:
    """Return the bits of W + scale * b @ a, shape (O, I), rounded once to the dtype; where W is zero it stays so.

    Args:
        bits: the bits of W, unsigned integers of its dtype's width, shape (O, I). Not changed.
        update: float32 factors.
        dtype: `F32`, `F16` or `BF16`.

    A weight that is zero was shed, and an adapter's mask keeps it so. The sum is s * (b_1 a_1 + ... + b_R a_R) + W.
    """
    total = np.zeros(bits.shape, np.float32)
    term = np.empty(bits.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for rank in range(update.a.shape[0]):
            np.multiply(update.b[:, rank, None], update.a[None, rank], out=term)
            total += term
        total *= np.float32(update.scale)
        weights = as_float32(bits, dtype)
        total += weights
        merged = _to_bits(total, dtype)
    return np.where(weights == 0, bits, merged)


def as_float32(bits: Elements, dtype: str) -> NDArray[np.float32]:
    """Return the values of float elements, exactly."""
    if dtype == "F32":
        return bits.view(np.float32)
    if dtype == "F16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _to_bits(values: NDArray[np.float32], dtype: str) -> Elements:
    """Round to the nearest, ties to even."""
    if dtype == "F32":
        return values.view(np.uint32)
    if dtype == "F16":
        return values.astype(np.float16).view(np.uint16)
    raw = values.view(np.uint32)
    rounded = (raw + (0x7FFF + ((raw >> 16) & 1)).astype(np.uint32)) >> 16
    return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype(np.uint16)
