"""Where the tensors of a `.gguf` file lie, read from its header alone; values are passed over, not decoded.

Layout (little endian): `GGUF`, uint32 version, uint64 number of tensors, uint64 number of keys; the keys (name, uint32
type, value); the directory (name, number of axes, axes from the fastest on, type, offset from the data's start); zeros
up to the alignment; the data.
Source: ggml `docs/gguf.md`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from birdbone.vault.errors import BadWeightFileError

_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UINT32, _STRING, _ARRAY = 4, 8, 9
_ALIGNMENT_KEY, _ALIGNMENT = "general.alignment", 32
_MAX_AXES = 8

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
    """The bytes `[begin, end)` of the keys and their values, and the tensors in the order of their bytes."""

    keys: tuple[int, int]
    tensors: tuple[GgufSpan, ...]


def read_gguf_layout(data: memoryview, *, name: str) -> GgufLayout:
    """Return where keys and tensors lie in the bytes of a whole file; the data itself is not read.

    Raises:
        BadWeightFileError: no GGUF of version 2 or 3, cut short, or tensors that lie outside of the file.
    """
    try:
        return _read_layout(data, name=name)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BadWeightFileError(f"The header of {name} is cut short or not GGUF.", path=name) from error


def _read_layout(data: memoryview, *, name: str) -> GgufLayout:
    magic, version, num_tensors, num_keys = struct.unpack_from("<4sIQQ", data, 0)
    if magic != b"GGUF" or version not in (2, 3):
        raise BadWeightFileError(f"{name} is no GGUF file of version 2 or 3.", path=name)
    cursor, alignment = _Cursor(data, 24), _ALIGNMENT
    for _ in range(num_keys):
        key, kind = cursor.string(), cursor.number("<I")
        if key == _ALIGNMENT_KEY and kind == _UINT32:
            alignment = cursor.number("<I")
        else:
            cursor.skip_value(kind)
    end_of_keys = cursor.position
    entries = sorted((_read_entry(cursor) for _ in range(num_tensors)), key=lambda entry: entry[3])
    if alignment < 1:
        raise BadWeightFileError(f"{name} asks for an alignment of {alignment} bytes.", path=name)
    start = -(-cursor.position // alignment) * alignment
    ends = [start + offset for *_, offset in entries[1:]] + [len(data)]
    spans = tuple(
        GgufSpan(name=key, type_id=kind, shape=shape, begin=start + offset, end=_end(kind, shape, start + offset, end))
        for (key, kind, shape, offset), end in zip(entries, ends, strict=True)
    )
    outside = [span.name for span, end in zip(spans, ends, strict=True) if not start <= span.begin <= span.end <= end]
    if outside:
        raise BadWeightFileError(f"{name} is cut short, or its tensor {outside[0]!r} overlaps another.", path=name)
    return GgufLayout(keys=(24, end_of_keys), tensors=spans)


def _end(type_id: int, shape: tuple[int, ...], begin: int, next_begin: int) -> int:
    if type_id not in BLOCK_SIZES:
        return next_begin
    num_weights, num_bytes = BLOCK_SIZES[type_id]
    return begin + math.prod(shape) // num_weights * num_bytes


def _read_entry(cursor: _Cursor) -> tuple[str, int, tuple[int, ...], int]:
    name, num_axes = cursor.string(), cursor.number("<I")
    if num_axes > _MAX_AXES:
        raise IndexError(num_axes)
    axes = [cursor.number("<Q") for _ in range(num_axes)]
    return name, cursor.number("<I"), tuple(reversed(axes)), cursor.number("<Q")


class _Cursor:
    """Reads numbers and strings one after another; past the end it raises `struct.error` or `IndexError`."""

    def __init__(self, data: memoryview, position: int) -> None:
        self._data = data
        self.position = position

    def number(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self._data, self.position)
        self.position += struct.calcsize(layout)
        return int(value)

    def string(self) -> str:
        size = self.number("<Q")
        start = self._skip(size)
        return bytes(self._data[start : start + size]).decode()

    def skip_value(self, kind: int) -> None:
        if kind in _SCALAR_BYTES:
            self._skip(_SCALAR_BYTES[kind])
        elif kind == _STRING:
            self._skip(self.number("<Q"))
        elif kind == _ARRAY:
            inner, count = self.number("<I"), self.number("<Q")
            if inner in _SCALAR_BYTES:
                self._skip(count * _SCALAR_BYTES[inner])
            else:
                for _ in range(count):
                    self.skip_value(inner)
        else:
            raise IndexError(kind)

    def _skip(self, size: int) -> int:
        start = self.position
        if start + size > len(self._data):
            raise IndexError(size)
        self.position += size
        return start
