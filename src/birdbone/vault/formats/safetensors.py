"""Where the tensors of a `.safetensors` file lie, read from its header alone.

Format: 8 bytes little-endian length N, N bytes of JSON, then the data. Each tensor is `[begin, end)` of the data;
together they cover it without hole or overlap. Bytes are never interpreted here, so bfloat16, float8 and NaN payloads
stay as they are.
Source: the format description of huggingface/safetensors (README, "Format").
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from birdbone.vault.errors import BadSafetensorsError, TruncatedSafetensorsError

DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits of one element of each dtype of the format."""

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit, against headers that are a bomb."""


TensorForm = tuple[str, str, tuple[int, ...]]
"""Name, dtype and shape of a tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpan:
    """One tensor: its name, dtype and shape, and `[begin, end)` in bytes from the start of the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetensorsLayout:
    """The header of a file: its size with the length field, the metadata, the tensors in the order of their bytes."""

    header_bytes: int
    metadata: dict[str, str]
    tensors: tuple[TensorSpan, ...]


def read_layout(stream: BinaryIO, *, size_bytes: int, name: str) -> SafetensorsLayout:
    """Return where each tensor lies in a file of `size_bytes`; reads the header only.

    Raises:
        TruncatedSafetensorsError: the file ends before its header or its data does.
        BadSafetensorsError: the header is no JSON object, or offsets, shapes and dtypes contradict each other.
    """
    header_bytes = _read_header_size(stream, size_bytes=size_bytes, name=name)
    header = _parse_header(stream.read(header_bytes - 8), name=name)
    metadata = _check_metadata(header.pop("__metadata__", {}), name=name)
    spans = sorted((_parse_span(key, entry, name=name) for key, entry in header.items()), key=_by_offset)
    _check_cover(spans, data_bytes=size_bytes - header_bytes, name=name)
    return SafetensorsLayout(header_bytes=header_bytes, metadata=metadata, tensors=tuple(spans))


def element_width(dtype: str) -> int:
    """Return how many bytes of a tensor belong together: those of an element, of a complex number's part, or one."""
    bits = DTYPE_BITS[dtype]
    return 4 if dtype == "C64" else max(1, bits // 8) if bits % 8 == 0 else 1


def encode_header(tensors: Sequence[TensorForm], *, metadata: Mapping[str, str]) -> bytes:
    """Return the header of a file with these tensors in this order, its length field included, padded to 8 bytes."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    begin = 0
    for name, dtype, shape in tensors:
        end = begin + math.prod(shape) * DTYPE_BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _read_header_size(stream: BinaryIO, *, size_bytes: int, name: str) -> int:
    stream.seek(0)
    prefix = stream.read(8)
    if len(prefix) < 8:
        raise TruncatedSafetensorsError(f"{name} has {len(prefix)} bytes; a header needs at least 8.", path=name)
    (length,) = struct.unpack("<Q", prefix)
    if length > MAX_HEADER_BYTES:
        raise BadSafetensorsError(f"{name} claims a header of {length} bytes; at most 100 MB is allowed.", path=name)
    if 8 + length > size_bytes:
        raise TruncatedSafetensorsError(
            f"{name} claims a header of {length} bytes but has only {size_bytes} bytes in all.", path=name
        )
    return int(8 + length)


def _parse_header(raw: bytes, *, name: str) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_unique_keys)
        json.dumps(header, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8 form
    except (ValueError, RecursionError) as error:
        raise BadSafetensorsError(f"The header of {name} is not valid JSON: {error}", path=name) from error
    if not isinstance(header, dict):
        raise BadSafetensorsError(f"The header of {name} is not a JSON object.", path=name)
    return header


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key stands twice")
    return keys


def _check_metadata(metadata: Any, *, name: str) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadSafetensorsError(f"The metadata of {name} is not a mapping from text to text.", path=name)
    return metadata


def _parse_span(key: str, entry: Any, *, name: str) -> TensorSpan:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        is_whole = isinstance(shape, list) and all(
            type(number) is int and number >= 0 for number in (*shape, begin, end)
        )
        bits = DTYPE_BITS[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise BadSafetensorsError(f"{name}: the entry of tensor {key!r} is not understood.", path=name) from error
    if not is_whole or end < begin or math.prod(shape) * bits != 8 * (end - begin):
        raise BadSafetensorsError(
            f"{name}: tensor {key!r} of dtype {dtype} and shape {shape} does not fit its offsets [{begin}, {end}).",
            path=name,
            tensor=key,
        )
    return TensorSpan(name=key, dtype=dtype, shape=tuple(shape), begin=begin, end=end)


def _by_offset(span: TensorSpan) -> tuple[int, int, str]:
    return span.begin, span.end, span.name


def _check_cover(spans: list[TensorSpan], *, data_bytes: int, name: str) -> None:
    covered = 0
    for span in spans:
        if span.begin != covered:
            fault = "overlaps the one before it" if span.begin < covered else "leaves a hole before it"
            raise BadSafetensorsError(f"{name}: tensor {span.name!r} {fault} at byte {covered}.", path=name)
        covered = span.end
    if covered > data_bytes:
        raise TruncatedSafetensorsError(
            f"{name} promises {covered} bytes of tensors but has {data_bytes}; the rest is missing.", path=name
        )
    if covered < data_bytes:
        raise BadSafetensorsError(f"{name} has {data_bytes - covered} bytes that belong to no tensor.", path=name)
