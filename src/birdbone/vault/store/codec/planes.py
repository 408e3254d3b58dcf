"""Bytes of one significance side by side, compressed: the exponents of floats repeat, their low bits do not.

A *section* is a run of bytes with its form before it: as it is, or compressed by zstd if that makes it smaller.
*Planes* are elements of w bytes as w sections, the first bytes of all elements, then the second ones, and so on.
Source: the byte grouping of ZipNN (Hershcovitch et al. 2024, arXiv:2411.05239, section 3), with zstd for its coder.
"""

from __future__ import annotations

import struct
import threading
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

Elements = NDArray[Any]
"""Unsigned integers of 1, 2, 4 or 8 bytes: the bits of elements, whatever their dtype means."""

_LEVEL = 1
_HEAD = struct.Struct("<BI")
_RAW, _ZSTD = 0, 1
_PROBE_BYTES = 1 << 14
_WORTH = 0.98  # a section that shrinks by less than a fiftieth is kept as it is: it reads faster
_coders = threading.local()  # a zstd context may not be used by two threads at once


class Cursor:
    """Reads sections one after another from the bytes of a frame.

    Raises:
        ValueError: a section ends beyond the frame, or does not decompress.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def take(self, size: int) -> memoryview:
        """Return the next `size` bytes."""
        start, self._position = self._position, self._position + size
        if size < 0 or self._position > len(self._data):
            raise ValueError("a frame ends inside a section")
        return self._data[start : self._position]

    def section(self, size: int) -> NDArray[np.uint8]:
        """Return the `size` bytes that the next section stands for."""
        form, stored = _HEAD.unpack(self.take(_HEAD.size))
        body = self.take(stored)
        if form not in (_RAW, _ZSTD):
            raise ValueError(f"a section has the form {form}, which there is not")
        found = _decompress(body, size) if form == _ZSTD else body
        if len(found) != size:
            raise ValueError(f"a section has {len(found)} bytes, not {size}")
        return np.frombuffer(found, np.uint8)

    def planes(self, count: int, width: int) -> Elements:
        """Return the `count` elements of `width` bytes that the next sections stand for."""
        found = np.empty((count, width), np.uint8)
        for plane in range(width):
            found[:, plane] = self.section(count)
        return found.reshape(-1).view(f"<u{width}")

    def bits(self, count: int) -> NDArray[np.bool_]:
        """Return `count` flags."""
        packed = self.section(-(-count // 8))
        return np.unpackbits(packed, count=count, bitorder="little").view(np.bool_)


def section(content: NDArray[np.uint8]) -> list[bytes]:
    """Return the parts of one section of `content`."""
    view = content.data if len(content) else memoryview(b"")
    if _is_worth_it(view):
        compressed = _compressor().compress(view)
        if len(compressed) < _WORTH * len(view):
            return [_HEAD.pack(_ZSTD, len(compressed)), compressed]
    return [_HEAD.pack(_RAW, len(view)), bytes(view)]


def planes(elements: Elements) -> list[bytes]:
    """Return the parts of the planes of `elements`, shape (n,)."""
    width = elements.dtype.itemsize
    columns = np.ascontiguousarray(elements).view(np.uint8).reshape(-1, width)
    return [part for plane in range(width) for part in section(np.ascontiguousarray(columns[:, plane]))]


def bits(flags: NDArray[np.bool_]) -> list[bytes]:
    """Return the parts of the flags, one bit each."""
    return section(np.packbits(flags, bitorder="little"))


def shrinks(elements: Elements, *, to: float) -> bool:
    """Return whether a sample of `elements` shrinks to less than the share `to` of its bytes as planes."""
    step = max(1, len(elements) // _PROBE_BYTES)
    sample = elements[len(elements) // 3 :][: _PROBE_BYTES * step]
    return bool(len(sample)) and sum(map(len, planes(sample[:_PROBE_BYTES]))) < to * sample[:_PROBE_BYTES].nbytes


def _is_worth_it(view: memoryview) -> bool:
    if len(view) <= 2 * _PROBE_BYTES:
        return len(view) > 0
    middle = len(view) // 2
    return len(_compressor().compress(view[middle : middle + _PROBE_BYTES])) < _WORTH * _PROBE_BYTES


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_coders, "compressor"):
        _coders.compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False, write_content_size=True)
    return _coders.compressor  # type: ignore[no-any-return]


def _decompress(body: memoryview, size: int) -> bytes:
    if not hasattr(_coders, "decompressor"):
        _coders.decompressor = zstandard.ZstdDecompressor()
    try:
        frame = zstandard.get_frame_parameters(body)
        if frame.content_size != size:  # before memory for it is taken
            raise ValueError(f"a section stands for {frame.content_size} bytes, not {size}")
        return _coders.decompressor.decompress(body, max_output_size=size)  # type: ignore[no-any-return]
    except zstandard.ZstdError as error:
        raise ValueError(f"a section does not decompress: {error}") from error
