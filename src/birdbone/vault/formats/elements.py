"""The numbers in a tensor's bytes, by NumPy: bfloat16 and float8 by their bits, everything little-endian.

Formats: bfloat16 is the upper half of float32; float8 E5M2 the upper half of float16; float8 E4M3 ("fn", no infinity,
bias 7) is tabulated. Source: Micikevicius et al. 2022, arXiv:2209.05433, table 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdbone.vault.formats.safetensors import DTYPE_BITS

_PLAIN = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_FLOATS = frozenset(("F16", "F32", "F64", "BF16", "F8_E5M2", "F8_E4M3"))
_READABLE = frozenset((*_PLAIN, "BF16", "F8_E5M2", "F8_E4M3"))


def is_readable(dtype: str) -> bool:
    """Return whether `as_float64` can read tensors of this dtype."""
    return dtype in _READABLE


def is_float(dtype: str) -> bool:
    """Return whether the elements of a readable dtype are floating."""
    return dtype in _FLOATS


def element_bytes(dtype: str) -> int:
    """Return the bytes of one element of a readable dtype."""
    return DTYPE_BITS[dtype] // 8


def as_float64(raw: memoryview, dtype: str) -> NDArray[np.float64]:
    """Return the elements of `raw` as float64: exact, but for 64-bit integers beyond 2**53."""
    if dtype == "F8_E4M3":
        return np.take(_E4M3, np.frombuffer(raw, "u1"))
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one, which is all that a figure needs
        return _as_float(raw, dtype).astype(np.float64)


def as_float32(raw: memoryview, dtype: str) -> NDArray[np.float32]:
    """Return the elements of `raw` as float32, read-only where that is what they are; float64 is rounded."""
    if dtype == "F8_E4M3":
        return as_float64(raw, dtype).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        return _as_float(raw, dtype).astype(np.float32, copy=False)


def _as_float(raw: memoryview, dtype: str) -> NDArray[Any]:
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "F8_E5M2":
        return (np.frombuffer(raw, "u1").astype(np.uint16) << 8).view(np.float16)
    return np.frombuffer(raw, _PLAIN[dtype])


def as_bits(raw: memoryview, dtype: str) -> NDArray[Any]:
    """Return the elements of `raw` as unsigned integers of their width, so that NaN equals the same NaN."""
    return np.frombuffer(raw, f"<u{element_bytes(dtype)}")


def _e4m3_values() -> NDArray[np.float64]:
    codes = np.arange(256)
    exponent, fraction = (codes >> 3) & 15, codes & 7
    size = np.where(exponent == 0, np.ldexp(fraction / 8, -6), np.ldexp(1 + fraction / 8, exponent - 7))
    size[(codes & 127) == 127] = np.nan
    return np.where(codes >= 128, -size, size)


_E4M3 = _e4m3_values()
