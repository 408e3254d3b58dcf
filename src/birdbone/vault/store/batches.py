"""Putting blobs: a batch of them becomes one pack.

A blob is hashed where it lies before anything is written, so content that the store holds costs no write. New content
is read again, hashed again on the way (the source may be changing), and written in the smallest form that reads back
right. Blocks, not blobs, are in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from blake3 import blake3
from fastcdc import fastcdc

from birdbone.core.digest import digest_bytes
from birdbone.vault.errors import CorruptObjectError, MissingObjectError, SourceChangedError
from birdbone.vault.folder import Vault, explain_write_errors, make_young
from birdbone.vault.store.blobs import CHUNK_RECORD, BlobReader, apply_update, encode_update, open_blob
from birdbone.vault.store.codec.frames import BLOCK_BYTES, Form, encode_change, encode_whole
from birdbone.vault.store.codec.low_rank import FLOAT_DTYPES, LowRankUpdate
from birdbone.vault.store.packs import EntryKind, Packs, PackWriter, find, find_known, refresh_index

CHUNKED_FROM_BYTES = 1 << 18
"""A file of this size is cut into chunks, so that a later one which shares most of it costs little."""

_MIN_CHUNK, _MEAN_CHUNK, _MAX_CHUNK = 1 << 14, 1 << 16, 1 << 18
_WINDOW_BYTES = 8 << 20
_MAX_CHAIN = 16  # a blob that lies deeper is written whole: reading it would cost more than its bytes are worth
_MAX_THREADS = 8


Encoded = tuple[bytes, memoryview | None]
"""A frame, and the bytes of the block below that it may be a change of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """`size_bytes` bytes of an open file from `offset` on."""

    stream: BinaryIO
    name: str
    offset: int
    size_bytes: int

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Yield the bytes in blocks; only the last one may be shorter than `size`.

        Raises:
            SourceChangedError: the file has become shorter.
        """
        for start in range(0, self.size_bytes, size):
            want = min(size, self.size_bytes - start)
            found = os.pread(self.stream.fileno(), want, self.offset + start)
            if len(found) != want:
                raise SourceChangedError(f"{self.name} became shorter while it was being read.", path=self.name)
            yield found

    def pieces(self) -> Iterator[memoryview]:
        """Yield the bytes piece by piece, each valid until the next is asked for. Raises what `blocks` does."""
        buffer = memoryview(bytearray(min(BLOCK_BYTES, self.size_bytes)))  # one for all: fresh memory costs page faults
        for start in range(0, self.size_bytes, BLOCK_BYTES):
            piece = buffer[: min(BLOCK_BYTES, self.size_bytes - start)]
            if os.preadv(self.stream.fileno(), [piece], self.offset + start) != len(piece):
                raise SourceChangedError(f"{self.name} became shorter while it was being read.", path=self.name)
            yield piece

    def digest(self) -> str:
        """Return the BLAKE3 of the bytes, as it is written everywhere. Raises what `blocks` does."""
        return _digest(self.pieces())


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes in memory that are to be stored."""

    content: bytes
    name: str

    @property
    def size_bytes(self) -> int:
        """How many there are."""
        return len(self.content)

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Yield the bytes in blocks; only the last one may be shorter than `size`."""
        for start in range(0, len(self.content), size):
            yield self.content[start : start + size]

    def pieces(self) -> Iterator[memoryview]:
        """Yield the bytes."""
        yield memoryview(self.content)

    def digest(self) -> str:
        """Return the BLAKE3 of the bytes, as it is written everywhere."""
        return digest_bytes(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the store may know of a blob's bytes, to keep them smaller; what it keeps is never other bytes."""

    width: int = 1
    """Bytes of an element: 1, 2, 4 or 8."""
    below: str | None = None
    """A blob that this one was probably made from, of the same size."""
    update: LowRankUpdate | None = None
    """A low-rank update that probably was added to that one."""
    dtype: str = ""
    """Dtype, as safetensors writes it; for an update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Bytes that are to be stored, and what is known of them."""

    data: Extent | Content
    shape: Shape = Shape()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """A blob that the store holds, by both its digests."""

    digest: str
    sha256: str
    size_bytes: int


@dataclass(slots=True)
class BlobBatch:
    """Stores blobs into one pack. Use it as a context; `make_durable` gives the pack its name.

    Args:
        known_sha256: SHA-256 of blobs by their digest, so that what is known is not computed again.
    """

    vault: Vault
    known_sha256: Mapping[str, str] = field(default_factory=dict)
    _writer: PackWriter = field(init=False)
    _packs: Packs = field(init=False)
    _pool: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        """Make ready; no file is made before there is something to write."""
        refresh_index(self.vault)
        self._writer = PackWriter(self.vault)
        self._packs = Packs(self.vault)
        self._pool = ThreadPoolExecutor(num_threads(), thread_name_prefix="vault")

    def __enter__(self) -> BlobBatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._packs.__exit__()
        self._writer.abort()

    def put(self, source: Source) -> StoredBlob:
        """Store one blob; see `put_all`."""
        return self.put_all([source])[0]

    def put_all(self, sources: Sequence[Source]) -> list[StoredBlob]:
        """Store the bytes of each source unless they are there, and return what they are called, in order.

        Raises:
            SourceChangedError: a file was written to meanwhile.
            DiskFullError, ReadOnlyVaultError: the store cannot take them.
        """
        stored = list(self._pool.map(self._hash, (source.data for source in sources)))
        for source, blob in zip(sources, stored, strict=True):
            if not self._is_held(blob.digest, size_bytes=blob.size_bytes):
                with explain_write_errors(self.vault.packs):
                    self._write(source, blob.digest)
        return stored

    def put_chunked(self, extent: Extent) -> StoredBlob:
        """Store a file of any kind, cut where its content says so, and each chunk only once.

        Source of the cutting: FastCDC, Xia et al. 2016 (USENIX ATC), by the library `fastcdc`.
        """
        if extent.size_bytes < CHUNKED_FROM_BYTES:
            return self.put(Source(data=extent))
        identity, sha256, listing = blake3(), hashlib.sha256(), []
        for chunk in _cut(extent):
            identity.update(chunk)
            sha256.update(chunk)
            digest = digest_bytes(chunk)
            listing.append(CHUNK_RECORD.pack(bytes.fromhex(digest[3:]), len(chunk)))
            if not self._is_held(digest, size_bytes=len(chunk)):
                with explain_write_errors(self.vault.packs):
                    self._write(Source(data=Content(content=chunk, name=extent.name)), digest)
        digest = f"b3:{identity.hexdigest()}"
        if not self._is_held(digest, size_bytes=extent.size_bytes):
            with explain_write_errors(self.vault.packs):
                self._writer.begin()
                self._writer.write(b"".join(listing))
                self._writer.end(digest, size_bytes=extent.size_bytes, kind=EntryKind.CHUNKS)
        return StoredBlob(digest=digest, sha256=sha256.hexdigest(), size_bytes=extent.size_bytes)

    def make_durable(self) -> None:
        """Flush all blobs that were put so far to the disk, as one pack."""
        with explain_write_errors(self.vault.packs):
            self._writer.finish()

    def _hash(self, data: Extent | Content) -> StoredBlob:
        digest = data.digest()
        sha256 = self.known_sha256.get(digest) or _sha256(data)
        return StoredBlob(digest=digest, sha256=sha256, size_bytes=data.size_bytes)

    def _is_held(self, digest: str, *, size_bytes: int) -> bool:
        """Return whether the blob is there, and make it young, so that a garbage collection leaves it alone."""
        if self._writer.has(digest):
            return True
        place = find_known(self.vault, digest)
        if place is not None and not make_young(self.vault.packs / place.pack):
            place = find(self.vault, digest, refresh=True)  # a garbage collection moved it
            if place is not None and not make_young(self.vault.packs / place.pack):
                return False
        return place is not None and place.size_bytes == size_bytes

    def _write(self, source: Source, digest: str) -> None:
        shape = source.shape
        below = self._openable(shape, digest, source.data.size_bytes)
        with contextlib.suppress(MissingObjectError, CorruptObjectError):  # what lies below is damaged: do without it
            if below is not None and self._write_frames(source, digest, below=below):
                return
        self._write_frames(source, digest, below=None)

    def _openable(self, shape: Shape, digest: str, size_bytes: int) -> BlobReader | None:
        """Return the blob below, if it can be read and its chain is not too long yet."""
        if shape.below in (None, digest) or size_bytes == 0:
            return None
        with contextlib.suppress(MissingObjectError, CorruptObjectError):
            reader = open_blob(self._packs, str(shape.below))
            same_form = reader.place.size_bytes == size_bytes and reader.place.width == shape.width
            if same_form and reader.place.depth + 1 < _MAX_CHAIN:
                return reader
        return None

    def _write_frames(self, source: Source, digest: str, *, below: BlobReader | None) -> bool:
        """Write one entry; False if it was to lie on a blob whose bytes proved damaged, and nothing was written."""
        shape, writer = source.shape, self._writer
        update = shape.update if below is not None and shape.dtype in FLOAT_DTYPES else None
        check, check_below, sizes, is_change = blake3(), blake3(), [], False
        writer.begin()
        encode = _encoder(shape, below=below, update=update)
        for frame, below_bytes in self._in_order(encode, _hashed(source.data.blocks(), check)):
            writer.write(frame)
            sizes.append(len(frame))
            if below_bytes is not None:
                check_below.update(below_bytes)
                is_change = is_change or frame[0] == Form.DELTA
        if f"b3:{check.hexdigest()}" != digest:
            raise SourceChangedError(f"{source.data.name} changed while it was being stored.", path=source.data.name)
        if is_change and f"b3:{check_below.hexdigest()}" != shape.below:
            return False
        extra = encode_update(update, shape.dtype) if update is not None and is_change else b""
        writer.write(extra + np.array([*sizes, len(extra)], "<u4").tobytes())
        writer.end(
            digest,
            size_bytes=source.data.size_bytes,
            kind=EntryKind.FRAMES,
            width=shape.width,
            depth=below.place.depth + 1 if below is not None and is_change else 0,
            below=shape.below if is_change else None,
        )
        return True

    def _in_order(self, encode: Callable[[int, bytes], Encoded], blocks: Iterator[bytes]) -> Iterator[Encoded]:
        """Encode blocks by several threads and yield the frames in order; a few blocks are in memory at once."""
        waiting: deque[Future[Encoded]] = deque()
        for index, block in enumerate(blocks):
            waiting.append(self._pool.submit(encode, index, block))
            if len(waiting) > 2 * num_threads():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def num_threads() -> int:
    """Return how many threads encode and decode: as many as there are cores for this process, to a limit."""
    return min(_MAX_THREADS, len(os.sched_getaffinity(0)))


def _encoder(
    shape: Shape, *, below: BlobReader | None, update: LowRankUpdate | None
) -> Callable[[int, bytes], Encoded]:
    def encode(index: int, block: bytes) -> Encoded:
        elements = np.frombuffer(block, f"<u{shape.width}")
        if below is None:
            return encode_whole(elements, is_cold=False), None
        under = below.block(index)
        frame = None
        if update is not None:
            frame = encode_change(apply_update(under, update, dtype=shape.dtype, index=index), elements)
        else:
            frame = encode_change(under, elements)
        return frame or encode_whole(elements, is_cold=False), under.data.cast("B")

    return encode


def _hashed(blocks: Iterator[bytes], check: blake3) -> Iterator[bytes]:
    for block in blocks:
        check.update(block)
        yield block


def _cut(extent: Extent) -> Iterator[bytes]:
    """Yield the chunks of a file; the cut of a window that ends inside a chunk is made again with what follows."""
    rest = b""
    for window in extent.blocks(_WINDOW_BYTES):
        rest += window
        chunks = list(fastcdc(rest, min_size=_MIN_CHUNK, avg_size=_MEAN_CHUNK, max_size=_MAX_CHUNK))
        for chunk in chunks[:-1]:
            yield rest[chunk.offset : chunk.offset + chunk.length]
        rest = rest[chunks[-1].offset :]
    if rest:
        yield rest


def _digest(pieces: Iterator[memoryview]) -> str:
    identity = blake3()
    for piece in pieces:
        identity.update(piece)
    return f"b3:{identity.hexdigest()}"


def _sha256(data: Extent | Content) -> str:
    sha256 = hashlib.sha256()
    for piece in data.pieces():
        sha256.update(piece)
    return sha256.hexdigest()
