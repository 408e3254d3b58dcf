"""Writing the GGUF container, version 3: header, key-values, tensor directory. No model knowledge here.

Layout (all little endian): `GGUF`, uint32 version, uint64 number of tensors, uint64 number of key-values; the
key-values (name, uint32 type, value); the directory (name, number of axes, axes from the fastest to the slowest, type,
offset from the start of the data); zeros to a multiple of 32; the tensors, each padded to a multiple of 32.
Source: ggml `docs/gguf.md`. The order of keys and tensors is the caller's, so the same input gives the same bytes.
`birdbone.vault` reads what this writes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from birdbone.models.gguf.errors import GgufError

_MAGIC = b"GGUF"
_VERSION = 3
ALIGNMENT = 32
EMPTY_BYTES = 24
"""Bytes of a file without keys and tensors: magic, version, and the numbers of both."""

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_ELEMENT_CODES = {_UINT32: "I", _INT32: "i", _FLOAT32: "f"}


@dataclass(frozen=True, slots=True)
class Uint32:
    """A key's value to be stored as uint32, the type that llama.cpp wants for counts and token ids."""

    value: int


@dataclass(frozen=True, slots=True)
class StoredArray:
    """A key's array of one element type; the type of an empty or mixed list could not be told from its values."""

    kind: str
    """`string`, `float32`, `int32` or `uint32`."""
    values: Sequence[Any]


Value = Uint32 | StoredArray | str | bool | float
_ARRAY_KINDS = {"uint32": _UINT32, "int32": _INT32, "float32": _FLOAT32, "string": _STRING}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """One row of the directory. `shape` is in torch's order; `offset` counts from the start of the data."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int


def padding(size: int) -> int:
    """Return how many zeros bring `size` to the next multiple of the alignment."""
    return -size % ALIGNMENT


def encode_header(metadata: Mapping[str, Value], tensors: Sequence[TensorEntry]) -> bytes:
    """Return the bytes of a file up to the first tensor's data."""
    parts = [_MAGIC, struct.pack("<IQQ", _VERSION, len(tensors), len(metadata))]
    parts += [encode_key(key, value) for key, value in metadata.items()]
    parts += [encode_entry(entry) for entry in tensors]
    head = b"".join(parts)
    return head + bytes(padding(len(head)))


def encode_key(key: str, value: Value) -> bytes:
    """Return the bytes of one key-value."""
    return _string(key) + _encode_value(value)


def encode_entry(entry: TensorEntry) -> bytes:
    """Return the bytes of one row of the directory."""
    axes = tuple(reversed(entry.shape))
    return _string(entry.name) + struct.pack(f"<I{len(axes)}QIQ", len(axes), *axes, entry.type_id, entry.offset)


def _encode_value(value: Value) -> bytes:
    match value:
        case Uint32():
            return struct.pack("<II", _UINT32, value.value)
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case float():
            return struct.pack("<If", _FLOAT32, value)
        case str():
            return struct.pack("<I", _STRING) + _string(value)
        case StoredArray():
            return _encode_array(value)
    raise GgufError(f"A key's value of type {type(value).__name__} has no GGUF form.")


def _encode_array(array: StoredArray) -> bytes:
    element = _ARRAY_KINDS[array.kind]
    head = struct.pack("<IIQ", _ARRAY, element, len(array.values))
    if element == _STRING:
        return head + b"".join(map(_string, array.values))
    return head + struct.pack(f"<{len(array.values)}{_ELEMENT_CODES[element]}", *array.values)


def _string(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return struct.pack("<Q", len(encoded)) + encoded
