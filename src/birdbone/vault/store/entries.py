"""Entries on their way from pack to pack: as they lie, or anew in a form that needs no other blob."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import numpy as np
from blake3 import blake3

from birdbone.vault.errors import CorruptObjectError, MissingObjectError
from birdbone.vault.store.blobs import read_blocks
from birdbone.vault.store.codec.frames import BLOCK_BYTES, encode_whole
from birdbone.vault.store.packs import EntryKind, Packs, PackWriter, Place

_COPY_BYTES = 8 << 20


def copy_entry(packs: Packs, writer: PackWriter, place: Place) -> None:
    """Write an entry as it lies, unread; its check goes with it, so that damage stays to be found."""
    writer.begin()
    for offset in range(0, place.stored_bytes, _COPY_BYTES):
        writer.write(packs.read(place, offset, min(_COPY_BYTES, place.stored_bytes - offset)))
    writer.end(
        place.digest,
        size_bytes=place.size_bytes,
        kind=place.kind,
        width=place.width,
        depth=place.depth,
        below=place.below,
        check=place.check,
    )


def write_whole(
    packs: Packs, writer: PackWriter, place: Place, *, width: int | None = None, is_cold: bool = False
) -> bool:
    """Write the blob of an entry in a form of its own; False, and nothing written, if its bytes are damaged or missing.

    Args:
        width: bytes of an element, where the entry's own will not do.
        is_cold: make it as small as it gets: it will not be read in a hurry.
    """
    width = width or place.width
    width = width if place.size_bytes % width == 0 else 1
    check, sizes = blake3(), []
    writer.begin()
    with contextlib.suppress(CorruptObjectError, MissingObjectError):
        for block in _blocks(read_blocks(packs, place.digest, place=place)):
            check.update(block)
            frame = encode_whole(np.frombuffer(block, f"<u{width}"), is_cold=is_cold)
            writer.write(frame)
            sizes.append(len(frame))
        if f"b3:{check.hexdigest()}" == place.digest:
            writer.write(np.array([*sizes, 0], "<u4").tobytes())
            writer.end(place.digest, size_bytes=place.size_bytes, kind=EntryKind.FRAMES, width=width)
            return True
    writer.begin()
    return False


def _blocks(pieces: Iterable[memoryview]) -> Iterator[bytes]:
    """Yield the pieces of a blob cut anew into blocks: a file's chunks are not."""
    rest = b""
    for piece in pieces:
        rest += piece
        while len(rest) >= BLOCK_BYTES:
            yield rest[:BLOCK_BYTES]
            rest = rest[BLOCK_BYTES:]
    if rest:
        yield rest
