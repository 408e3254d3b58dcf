"""What a `.gguf` file says of itself and where its tensors lie, read from its header alone.

Layout (little endian): `GGUF`, uint32 version, uint64 number of tensors, uint64 number of keys; the keys (name, uint32
type, value); the directory (name, number of axes, axes from the fastest on, type, offset from the data's start); zeros
up to the alignment; the data.
Source: ggml `docs/gguf.md`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from birdbone.vault.errors import BadWeightFileError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32
_MAX_AXES = 4

BLOCK_SIZES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Weights of a block and its bytes, by ggml's number of the type. Source: ggml's type traits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufSpan:
    """One tensor: its name, ggml's number of its type, its shape in torch's order, and `[begin, end)` in the file.

    Of a type that is newer than this table the size is not known: `end` is then where the next tensor or the file ends.
    """

    name: str
    type_id: int
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufLayout:
    """The keys with their values, their bytes `[begin, end)`, and the tensors in the order of their bytes."""

    metadata: Mapping[str, Any]
    keys: tuple[int, int]
    data_start: int
    tensors: tuple[GgufSpan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int


def read_gguf_layout(data: memoryview, *, name: str) -> GgufLayout:
    """Return what the header in the bytes of a whole file says; the data itself is not read.

    Raises:
        BadWeightFileError: no GGUF of version 2 or 3, cut short, a type of value that GGUF does not have,
            or tensors that overlap or lie outside of the file.
    """
    if bytes(data[:4]) != b"GGUF":
        raise BadWeightFileError(f"{name} is not a GGUF file: it does not begin with the letters GGUF.", path=name)
    cursor = _Cursor(data, 4, name=name)
    version, num_tensors, num_keys = cursor.take("<IQQ")
    if version not in (2, 3):
        raise BadWeightFileError(f"{name} is GGUF of version {version}, not 2 or 3.", path=name)
    metadata = {cursor.name(): cursor.value() for _ in range(num_keys)}
    end_of_keys = cursor.position
    entries = [cursor.entry() for _ in range(num_tensors)]
    start = _align(cursor.position, metadata.get("general.alignment", _ALIGNMENT), name=name)
    return GgufLayout(
        metadata=metadata,
        keys=(24, end_of_keys),
        data_start=start,
        tensors=tuple(_spans(entries, start=start, file_bytes=len(data), name=name)),
    )


def _align(position: int, alignment: object, *, name: str) -> int:
    if not isinstance(alignment, int) or alignment < 1:
        raise BadWeightFileError(f"{name} asks for an alignment of {alignment!r}, not of a number of bytes.", path=name)
    return -(-position // alignment) * alignment


def _spans(entries: Sequence[_Entry], *, start: int, file_bytes: int, name: str) -> Iterator[GgufSpan]:
    ordered = sorted(entries, key=lambda entry: (entry.offset, math.prod(entry.shape)))
    limits = [start + entry.offset for entry in ordered[1:]] + [file_bytes]
    for entry, limit in zip(ordered, limits, strict=False):  # without tensors there is one limit too many
        begin, num_weights = start + entry.offset, math.prod(entry.shape)
        per_block, block_bytes = BLOCK_SIZES.get(entry.type_id, (0, 0))
        end = begin + num_weights // per_block * block_bytes if per_block else limit
        if not begin <= end <= limit:
            raise BadWeightFileError(f"{name} is cut short, or its tensor {entry.name!r} overlaps another.", path=name)
        yield GgufSpan(name=entry.name, type_id=entry.type_id, shape=entry.shape, begin=begin, end=end)


class _Cursor:
    """Reads values one after another and says where a file that is too short ends."""

    def __init__(self, data: memoryview, position: int, *, name: str) -> None:
        self._data = data
        self._name = name
        self.position = position

    def take(self, layout: str) -> tuple[Any, ...]:
        size = struct.calcsize(layout)
        return struct.unpack_from(layout, self._data, self._pass(size))

    def text(self, errors: str) -> str:
        (size,) = self.take("<Q")
        start = self._pass(size)
        return bytes(self._data[start : self.position]).decode(errors=errors)

    def name(self) -> str:
        try:
            return self.text("strict")
        except UnicodeDecodeError as error:
            raise self._bad(f"a name before byte {self.position} is not UTF-8") from error

    def value(self) -> Any:
        (kind,) = self.take("<I")
        if kind != _ARRAY:
            return self._reader(kind)()
        element, count = self.take("<IQ")
        if element in _SCALARS:
            self._need(count)  # before a layout of that many letters is made
            return list(self.take(f"<{count}{_SCALARS[element]}"))
        read = self._reader(element)
        return [read() for _ in range(count)]

    def entry(self) -> _Entry:
        name = self.name()
        (num_axes,) = self.take("<I")
        if not 1 <= num_axes <= _MAX_AXES:
            raise self._bad(f"tensor {name!r} has {num_axes} axes; GGUF allows 1 to {_MAX_AXES}")
        *axes, type_id, offset = self.take(f"<{num_axes}QIQ")
        return _Entry(name=name, shape=tuple(reversed(axes)), type_id=type_id, offset=offset)

    def _reader(self, kind: int) -> Callable[[], Any]:
        if kind == _STRING:
            return lambda: self.text("replace")
        if kind not in _SCALARS:
            raise self._bad(f"a value at byte {self.position} has type {kind}, which GGUF does not have")
        return lambda: self.take("<" + _SCALARS[kind])[0]

    def _pass(self, size: int) -> int:
        self._need(size)
        start = self.position
        self.position += size
        return start

    def _need(self, size: int) -> None:
        if self.position + size > len(self._data):
            raise self._bad(f"it ends at byte {len(self._data)}, where {size} bytes were due at {self.position}")

    def _bad(self, fault: str) -> BadWeightFileError:
        return BadWeightFileError(f"The header of {self._name} is cut short or damaged: {fault}.", path=self._name)
