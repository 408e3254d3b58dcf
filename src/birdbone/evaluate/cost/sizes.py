"""What a model weighs: bytes, bits a weight, and the bytes that decoding reads a token."""

from __future__ import annotations

import math
from collections.abc import Mapping

from birdbone.core import Basis, Measurement


def size_measurements(*, artefact: str, size_bytes: int, num_weights: int) -> tuple[Measurement, ...]:
    """Return `size` and `bits_per_weight` of a stored file.

    Args:
        artefact: digest of the file.
        size_bytes: its size on the disk, everything in it included.
        num_weights: weights of the model before any of them was dropped; tied weights count once.
    """
    bits = 8 * size_bytes / num_weights
    return (
        _plain("size", size_bytes, unit="byte", method="size of the stored file", artefact=artefact),
        _plain(
            "bits_per_weight",
            bits,
            unit="bit/weight",
            method=f"8 x stored bytes / {num_weights:,} weights",
            artefact=artefact,
        ),
    )


def bytes_per_token(tensor_bytes: Mapping[str, int], *, lookup_rows: Mapping[str, int] | None = None) -> int:
    """Return the weight bytes that decoding one token reads, from the stored size of each tensor.

    Every tensor is read once. Of a table that is only looked up (an input embedding that is not also the output head)
    one row is read. The cache of keys and values is not counted.

    Args:
        tensor_bytes: stored bytes of each tensor.
        lookup_rows: for each table that is only looked up, its number of rows.
    """
    rows = lookup_rows or {}
    return sum(math.ceil(size / rows.get(name, 1)) for name, size in tensor_bytes.items())


def bytes_per_token_measurement(
    tensor_bytes: Mapping[str, int], *, artefact: str, lookup_rows: Mapping[str, int] | None = None
) -> Measurement:
    """Return `bytes_per_token` as an estimate: it is counted from the stored tensors, not seen on the memory bus."""
    return _plain(
        "bytes_per_token",
        bytes_per_token(tensor_bytes, lookup_rows=lookup_rows),
        unit="byte/token",
        method="sum of stored tensor sizes, one row of a looked-up table, without the key-value cache",
        artefact=artefact,
        is_estimate=True,
    )


def _plain(name: str, value: float, *, unit: str, method: str, artefact: str, is_estimate: bool = False) -> Measurement:
    basis: Basis = "estimated" if is_estimate else "measured"
    return Measurement(name=name, value=value, unit=unit, method=method, artefact=artefact, basis=basis)
