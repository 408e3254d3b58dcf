"""Read what a GGUF file says of itself, and its tensors, without an engine."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from birdbone.models.gguf.errors import CorruptGgufError
from birdbone.vault import BadWeightFileError, GgufLayout, GgufSpan, read_gguf_layout


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensorInfo:
    """One tensor of a file. `shape` is in torch's order, (rows, columns)."""

    name: str
    shape: tuple[int, ...]
    type: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufSummary:
    """What a file holds: its keys, its tensors, and the sums over them."""

    architecture: str
    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensorInfo, ...]
    size_bytes: int
    num_weights: int
    bits_per_weight: float


def read_gguf_summary(path: Path) -> GgufSummary:
    """Return the keys and the tensors of a file of any GGUF type; the tensor data are not read.

    Raises:
        CorruptGgufError: not GGUF, cut short, or a tensor that would lie beyond the end.
        FileNotFoundError: there is no such file.
    """
    with _mapped(path) as data:
        layout = _read_layout(data, path)
    tensors = tuple(map(_tensor_info, layout.tensors))
    num_weights = sum(prod(tensor.shape) for tensor in tensors)
    num_bytes = sum(tensor.size_bytes for tensor in tensors)
    return GgufSummary(
        architecture=str(layout.metadata.get("general.architecture", "")),
        metadata=layout.metadata,
        tensors=tensors,
        size_bytes=path.stat().st_size,
        num_weights=num_weights,
        bits_per_weight=8 * num_bytes / num_weights if num_weights else 0.0,
    )


def read_tensor_bytes(path: Path, name: str) -> NDArray[np.uint8]:
    """Return the stored bytes of one tensor, shape (rows, bytes of a row) or flat for a vector.

    Raises:
        CorruptGgufError: the file is not whole, or has no tensor of that name.
    """
    with _mapped(path) as data:
        span = next((span for span in _read_layout(data, path).tensors if span.name == name), None)
        if span is None:
            raise CorruptGgufError(f"{path.name} has no tensor {name!r}.", hint="`read_gguf_summary` lists them.")
        stored = np.frombuffer(data[span.begin : span.end], dtype=np.uint8).copy()
    return stored.reshape(prod(span.shape[:-1]), -1) if len(span.shape) > 1 else stored


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    with path.open("rb") as stream:
        if path.stat().st_size == 0:
            raise CorruptGgufError(f"{path.name} is empty.")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            yield data


def _read_layout(data: memoryview, path: Path) -> GgufLayout:
    try:
        return read_gguf_layout(data, name=path.name)
    except BadWeightFileError as error:
        raise CorruptGgufError(error.message) from error


def _tensor_info(span: GgufSpan) -> GgufTensorInfo:
    try:
        kind = GGMLQuantizationType(span.type_id)
    except ValueError as error:
        raise CorruptGgufError(f"Tensor {span.name!r} has type {span.type_id}, which GGUF does not have.") from error
    return GgufTensorInfo(name=span.name, shape=span.shape, type=kind.name, size_bytes=span.end - span.begin)
