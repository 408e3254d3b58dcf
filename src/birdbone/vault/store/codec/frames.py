"""A frame: one block of a blob, in the smallest of the forms that are allowed for it.

A blob is cut into blocks of `BLOCK_BYTES`, each of which can be read without the others, so that a chain of changes is
followed block by block and memory stays small. Forms: raw; planes; sparse (flags of the nonzeros, planes of those); a
change of the same block of the blob below (`delta`).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from birdbone.vault.store.codec.delta import decode_delta, encode_delta
from birdbone.vault.store.codec.planes import Cursor, Elements, bits, planes, shrinks

BLOCK_BYTES = 1 << 20
"""Bytes of a block; the last one of a blob may be shorter. Divisible by every element's width."""

_SPARSE_FROM = 0.05  # of the elements are zero: below, zstd finds the zeros in the planes as cheaply
_HOT_SHARE = 0.7  # what is read often is kept raw unless it shrinks to less than this
_COLD_SHARE = 0.98
_DELTA_SHARE = 0.75  # exponents alone make a change of anything a little smaller: that is not worth a chain


class Form(IntEnum):
    """How a frame's body is to be read; its first byte."""

    RAW = 0
    PLANES = 1
    SPARSE = 2
    DELTA = 3


def encode_whole(block: Elements, *, is_cold: bool) -> bytes:
    """Return a frame that needs no other blob.

    Args:
        block: the elements' bits, shape (n,).
        is_cold: rather small than quick to read: planes wherever they shrink at all.
    """
    share = _COLD_SHARE if is_cold else _HOT_SHARE
    if len(block) and (_num_zeros(block) > _SPARSE_FROM * len(block) or shrinks(block, to=share)):
        frame = _encode_planes(block)
        if len(frame) < share * block.nbytes:
            return frame
    return bytes([Form.RAW]) + block.tobytes()


def encode_change(below: Elements, above: Elements) -> bytes | None:
    """Return a frame that changes the same block of the blob below, or None where that saves too little.

    The frame is read again before it is given out, so what cannot be read back is never stored.
    """
    frame = bytes([Form.DELTA]) + b"".join(encode_delta(below, above))
    if len(frame) > _DELTA_SHARE * above.nbytes + 64:
        return None
    if not np.array_equal(
        decode_frame(memoryview(frame), num_bytes=above.nbytes, width=above.itemsize, below=below), above
    ):
        return None
    return frame


def decode_frame(frame: memoryview, *, num_bytes: int, width: int, below: Elements | None = None) -> Elements:
    """Return the elements of a block.

    Args:
        num_bytes: size of the block.
        width: bytes of an element.
        below: the same block of the blob below, if the frame is a change of it.

    Raises:
        ValueError: the frame is damaged, or it needs a blob below and there is none.
    """
    cursor = Cursor(frame)
    (form,) = cursor.take(1)
    count = num_bytes // width
    match form:
        case Form.RAW:
            return np.frombuffer(cursor.take(num_bytes), f"<u{width}")
        case Form.PLANES:
            return cursor.planes(count, width)
        case Form.SPARSE:
            alive = cursor.bits(count)
            found = np.zeros(count, f"<u{width}")
            found[alive] = cursor.planes(int(np.count_nonzero(alive)), width)
            return found
        case Form.DELTA if below is not None and below.nbytes == num_bytes:
            return decode_delta(cursor, below)
    raise ValueError(f"a frame has the form {form}, which cannot be read here")


def _encode_planes(block: Elements) -> bytes:
    if _num_zeros(block) > _SPARSE_FROM * len(block):
        alive = block != 0
        return bytes([Form.SPARSE]) + b"".join(bits(alive) + planes(block[alive]))
    return bytes([Form.PLANES]) + b"".join(planes(block))


def _num_zeros(block: Elements) -> int:
    return len(block) - int(np.count_nonzero(block))
