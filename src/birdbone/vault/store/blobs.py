"""Reading a blob from the packs, block by block, whatever form it lies in.

A blob that is a change of another is read by reading the same block of that one first, so a chain costs one block of
memory for each link. What comes out here is not checked yet: the callers in `objects` compare its digest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from birdbone.vault.errors import CorruptObjectError, MissingObjectError
from birdbone.vault.store.codec.frames import BLOCK_BYTES, decode_frame
from birdbone.vault.store.codec.low_rank import FLOAT_DTYPES, LowRankUpdate, add_low_rank
from birdbone.vault.store.codec.planes import Cursor, Elements, planes
from birdbone.vault.store.packs import EntryKind, Packs, Place

MAX_DEPTH = 32
"""Links of a chain beyond which no reader follows."""

CHUNK_RECORD = struct.Struct("<32sQ")
"""Digest and size of one chunk of a file."""

_UPDATE_HEAD = struct.Struct("<BIIId")


@dataclass(slots=True)
class BlobReader:
    """One blob, opened: its frames' places, its low-rank update, and the blob below it."""

    packs: Packs
    place: Place
    offsets: tuple[int, ...]
    update: tuple[str, LowRankUpdate] | None
    below: BlobReader | None

    @property
    def num_blocks(self) -> int:
        """How many blocks the blob has."""
        return len(self.offsets) - 1

    def block(self, index: int) -> Elements:
        """Return the elements of a block.

        Raises:
            CorruptObjectError: the frame is damaged.
        """
        frame = self.packs.read(self.place, self.offsets[index], self.offsets[index + 1] - self.offsets[index])
        size = min(BLOCK_BYTES, self.place.size_bytes - index * BLOCK_BYTES)
        try:
            below = None if self.below is None else _updated(self.below.block(index), self.update, index=index)
            return decode_frame(memoryview(frame), num_bytes=size, width=self.place.width, below=below)
        except (ValueError, struct.error, IndexError, OverflowError) as error:
            raise CorruptObjectError(
                f"Object {self.place.digest} in blobs is damaged: {error}.", digest=self.place.digest
            ) from error


def open_blob(packs: Packs, digest: str, *, place: Place | None = None, depth: int = 0) -> BlobReader:
    """Return a reader of a blob that lies in frames: of its form at `place`, or of the one that is read best.

    Raises:
        MissingObjectError: the blob, or one that it is a change of, is not there.
        CorruptObjectError: its entry is damaged.
    """
    place = place or packs.find(digest)
    if place.kind is not EntryKind.FRAMES or depth > MAX_DEPTH:
        raise CorruptObjectError(f"Object {digest} in blobs is no chain of frames.", digest=digest)
    below = None if place.below is None else open_blob(packs, place.below, depth=depth + 1)
    if below is not None and below.place.size_bytes != place.size_bytes:
        raise CorruptObjectError(f"Object {digest} in blobs lies on one of another size.", digest=digest)
    num_blocks = -(-place.size_bytes // BLOCK_BYTES)
    table_bytes = 4 * num_blocks + 4
    table = np.frombuffer(packs.read(place, place.stored_bytes - table_bytes, table_bytes), "<u4").astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(table[:-1])])
    update = _read_update(packs, place, int(offsets[-1]), int(table[-1]))
    return BlobReader(packs=packs, place=place, offsets=tuple(offsets.tolist()), update=update, below=below)


def read_blocks(packs: Packs, digest: str, *, place: Place | None = None) -> Iterator[memoryview]:
    """Yield the bytes of a blob piece by piece, of a file in chunks too; they are not checked.

    Raises:
        MissingObjectError, CorruptObjectError: as `open_blob`.
    """
    place = place or packs.find(digest)
    if place.kind is EntryKind.CHUNKS:
        readers = (open_blob(packs, chunk) for chunk, _ in read_chunks(packs, place))
    else:
        readers = (reader for reader in [open_blob(packs, digest, place=place)])
    for reader in readers:
        for index in range(reader.num_blocks):
            yield reader.block(index).data.cast("B")


def is_sound(packs: Packs, place: Place) -> bool:
    """Return whether the bytes of an entry are those that were written, can be read, and are those of its blob."""
    check = blake3()
    try:
        if not packs.is_whole(place):
            return False
        for piece in read_blocks(packs, place.digest, place=place):
            check.update(piece)
    except (CorruptObjectError, MissingObjectError):
        return False
    return f"b3:{check.hexdigest()}" == place.digest


def read_chunks(packs: Packs, place: Place) -> list[tuple[str, int]]:
    """Return digest and size of each chunk of a file."""
    raw = packs.read(place, 0, place.stored_bytes)
    if len(raw) % CHUNK_RECORD.size:
        raise CorruptObjectError(f"Object {place.digest} in blobs is damaged.", digest=place.digest)
    return [(f"b3:{digest.hex()}", size) for digest, size in CHUNK_RECORD.iter_unpack(raw)]


def encode_update(update: LowRankUpdate, dtype: str) -> bytes:
    """Return the bytes of an update, as an entry keeps them behind its frames."""
    rank, columns = update.a.shape
    head = _UPDATE_HEAD.pack(FLOAT_DTYPES.index(dtype), update.b.shape[0], columns, rank, update.scale)
    factors = (np.ascontiguousarray(factor, np.float32).reshape(-1).view(np.uint32) for factor in (update.a, update.b))
    return head + b"".join(part for factor in factors for part in planes(factor))


def apply_update(block: Elements, update: LowRankUpdate, *, dtype: str, index: int) -> Elements:
    """Return block `index` of a matrix after the update; the rows that it cuts are filled up and cut off again."""
    _, columns = update.shape
    start = index * (BLOCK_BYTES // block.itemsize)
    first, last = start // columns, -(-(start + len(block)) // columns)
    rows = np.zeros((last - first) * columns, block.dtype)
    rows[start - first * columns :][: len(block)] = block
    part = LowRankUpdate(a=update.a, b=update.b[first:last], scale=update.scale)
    merged = add_low_rank(rows.reshape(-1, columns), part, dtype=dtype).reshape(-1)
    return merged[start - first * columns :][: len(block)]


def _updated(block: Elements, update: tuple[str, LowRankUpdate] | None, *, index: int) -> Elements:
    return block if update is None else apply_update(block, update[1], dtype=update[0], index=index)


def _read_update(packs: Packs, place: Place, offset: int, size: int) -> tuple[str, LowRankUpdate] | None:
    if size == 0:
        return None
    cursor = Cursor(memoryview(packs.read(place, offset, size)))
    try:
        dtype, rows, columns, rank, scale = _UPDATE_HEAD.unpack(cursor.take(_UPDATE_HEAD.size))
        if max(rows, columns) * place.width > place.size_bytes or rows * columns * place.width != place.size_bytes:
            raise ValueError("an update has the shape of another matrix")
        a, b = (cursor.planes(count, 4).view(np.float32) for count in (rank * columns, rows * rank))
        update = LowRankUpdate(a=a.reshape(rank, columns), b=b.reshape(rows, rank), scale=scale)
        return FLOAT_DTYPES[dtype], update
    except (ValueError, struct.error, IndexError, OverflowError, MemoryError) as error:
        raise CorruptObjectError(f"Object {place.digest} in blobs is damaged: {error}.", digest=place.digest) from error
