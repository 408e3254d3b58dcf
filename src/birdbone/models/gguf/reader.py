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
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from birdbone.models.gguf.container import Header, TensorEntry, decode_header
from birdbone.models.gguf.errors import CorruptGgufError


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
        header = decode_header(data)
        tensors = tuple(_tensor_info(entry, header, len(data)) for entry in header.tensors)
    num_weights = sum(prod(tensor.shape) for tensor in tensors)
    num_bytes = sum(tensor.size_bytes for tensor in tensors)
    return GgufSummary(
        architecture=str(header.metadata.get("general.architecture", "")),
        metadata=header.metadata,
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
        header = decode_header(data)
        entry = next((entry for entry in header.tensors if entry.name == name), None)
        if entry is None:
            raise CorruptGgufError(f"{path.name} has no tensor {name!r}.", hint="`read_gguf_summary` lists them.")
        info = _tensor_info(entry, header, len(data))
        start = header.data_start + entry.offset
        stored = np.frombuffer(data[start : start + info.size_bytes], dtype=np.uint8).copy()
    return stored.reshape(prod(entry.shape[:-1]), -1) if len(entry.shape) > 1 else stored


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    with path.open("rb") as stream:
        if path.stat().st_size == 0:
            raise CorruptGgufError(f"{path.name} is empty.")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            yield data


def _tensor_info(entry: TensorEntry, header: Header, file_size: int) -> GgufTensorInfo:
    try:
        kind = GGMLQuantizationType(entry.type_id)
    except ValueError as error:
        raise CorruptGgufError(f"Tensor {entry.name!r} has type {entry.type_id}, which GGUF does not have.") from error
    weights_per_block, bytes_per_block = GGML_QUANT_SIZES[kind]
    size = prod(entry.shape) // weights_per_block * bytes_per_block
    if header.data_start + entry.offset + size > file_size:
        raise CorruptGgufError(f"The file is cut short: tensor {entry.name!r} would lie beyond its end.")
    return GgufTensorInfo(name=entry.name, shape=entry.shape, type=kind.name, size_bytes=size)
