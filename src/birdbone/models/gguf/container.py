"""The GGUF container, version 3: header, key-values, tensor directory, aligned tensor data. No model knowledge here.

Layout (all little endian): `GGUF`, uint32 version, uint64 number of tensors, uint64 number of key-values; the
key-values (name, uint32 type, value); the directory (name, number of axes, axes from the fastest to the slowest, type,
offset from the start of the data); zeros to a multiple of 32; the tensors, each padded to a multiple of 32.
Source: ggml `docs/gguf.md`. The order of keys and tensors is the caller's, so the same input gives the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from birdbone.models.gguf.errors import CorruptGgufError, GgufError

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_MAX_AXES = 4


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands before the data: the keys, the directory, and where the data begins in the file."""

    metadata: Mapping[str, Any]
    tensors: tuple[TensorEntry, ...]
    data_start: int


def padding(size: int) -> int:
    """Return how many zeros bring `size` to the next multiple of the alignment."""
    return -size % ALIGNMENT


def encode_header(metadata: Mapping[str, Value], tensors: Sequence[TensorEntry]) -> bytes:
    """Return the bytes of a file up to the first tensor's data."""
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(metadata))]
    parts += [_string(key) + _encode_value(value) for key, value in metadata.items()]
    parts += [_encode_entry(entry) for entry in tensors]
    head = b"".join(parts)
    return head + bytes(padding(len(head)))


def decode_header(data: memoryview) -> Header:
    """Return the keys and the directory at the start of a file.

    Raises:
        CorruptGgufError: wrong magic or version, a value cut short, a type that GGUF does not have.
    """
    if bytes(data[:4]) != MAGIC:
        raise CorruptGgufError("This is not a GGUF file: it does not begin with the letters GGUF.")
    cursor = _Cursor(data, 4)
    version, num_tensors, num_keys = cursor.take("<IQQ")
    if version not in (2, VERSION):
        raise CorruptGgufError(f"GGUF version {version} is not 2 or 3.", version=version)
    metadata = {cursor.string(): cursor.value() for _ in range(num_keys)}
    tensors = tuple(cursor.entry() for _ in range(num_tensors))
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise CorruptGgufError(f"The file's alignment is {alignment!r}, not a number of bytes.")
    return Header(metadata=metadata, tensors=tensors, data_start=-(-cursor.position // alignment) * alignment)


class _Cursor:
    """Reads values one after another and says where a file that is too short ends."""

    def __init__(self, data: memoryview, position: int) -> None:
        self._data = data
        self.position = position

    def take(self, layout: str) -> tuple[Any, ...]:
        size = struct.calcsize(layout)
        self._need(size)
        values = struct.unpack_from(layout, self._data, self.position)
        self.position += size
        return values

    def string(self) -> str:
        (size,) = self.take("<Q")
        self._need(size)
        start, self.position = self.position, self.position + size
        return bytes(self._data[start : self.position]).decode("utf-8", errors="replace")

    def value(self) -> Any:
        (kind,) = self.take("<I")
        if kind != _ARRAY:
            return self._reader(kind)()
        element, count = self.take("<IQ")
        self._need(count)
        if element in _SCALARS:
            return list(self.take(f"<{count}{_SCALARS[element]}"))
        read = self._reader(element)
        return [read() for _ in range(count)]

    def entry(self) -> TensorEntry:
        name = self.string()
        (num_axes,) = self.take("<I")
        if not 1 <= num_axes <= _MAX_AXES:
            raise CorruptGgufError(f"Tensor {name!r} has {num_axes} axes; GGUF allows 1 to {_MAX_AXES}.")
        *axes, type_id, offset = self.take(f"<{num_axes}QIQ")
        return TensorEntry(name=name, shape=tuple(reversed(axes)), type_id=type_id, offset=offset)

    def _reader(self, kind: int) -> Callable[[], Any]:
        if kind == _STRING:
            return self.string
        if kind not in _SCALARS:
            raise CorruptGgufError(f"A key at byte {self.position} has value type {kind}, which GGUF does not have.")
        return lambda: self.take("<" + _SCALARS[kind])[0]

    def _need(self, size: int) -> None:
        if self.position + size > len(self._data):
            raise CorruptGgufError(
                f"The file ends at byte {len(self._data)}, inside its header; {size} bytes were due at {self.position}."
            )


def _encode_entry(entry: TensorEntry) -> bytes:
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
    return head + struct.pack(f"<{len(array.values)}{_SCALARS[element]}", *array.values)


def _string(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return struct.pack("<Q", len(encoded)) + encoded
