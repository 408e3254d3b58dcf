"""Objects by their digest: written once, checked each time they are read.

A blob is hashed where it lies before anything is written, so content that the store holds costs no write; new content
is copied, hashed again on the way (the source may be changing), flushed, and renamed into place. At most one chunk is
in memory.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from blake3 import blake3

from birdbone.core.digest import digest_bytes
from birdbone.core.files import write_atomically
from birdbone.vault.errors import CorruptObjectError, MissingObjectError, SourceChangedError, UnknownNameError
from birdbone.vault.folder import ObjectKind, Vault, explain_write_errors, sync_folder
from birdbone.vault.names import is_digest

CHUNK_BYTES = 1 << 20


class Hasher(Protocol):
    """What `blake3()` and `hashlib.sha256()` share."""

    def update(self, data: Any, /) -> Any:
        """Take in more bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """`size_bytes` bytes of an open file from `offset` on."""

    stream: BinaryIO
    name: str
    offset: int
    size_bytes: int

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes piece by piece; each piece is valid until the next is asked for.

        Raises:
            SourceChangedError: the file has become shorter.
        """
        buffer = memoryview(bytearray(min(CHUNK_BYTES, self.size_bytes)))
        self.stream.seek(self.offset)
        left = self.size_bytes
        while left:
            count = self.stream.readinto(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
            if not count:
                raise SourceChangedError(f"{self.name} became shorter while it was being read.", path=self.name)
            yield buffer[:count]
            left -= count


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """A blob that the store holds, by both its digests."""

    digest: str
    sha256: str
    size_bytes: int


@dataclass(slots=True)
class BlobBatch:
    """Stores blobs one after another; `make_durable` then flushes each folder that was touched, once."""

    vault: Vault
    folders: set[Path] = field(default_factory=set)

    def put(self, extent: Extent, *, also: Sequence[Hasher] = ()) -> StoredBlob:
        """Store the bytes of `extent` unless they are there; `also` are hashers that see the same bytes.

        Raises:
            SourceChangedError: the file was written to meanwhile.
            DiskFullError, ReadOnlyVaultError: the store cannot take the blob.
        """
        identity, sha256 = blake3(), hashlib.sha256()
        hashers: tuple[Hasher, ...] = (identity, sha256, *also)
        for chunk in extent.chunks():
            for hasher in hashers:
                hasher.update(chunk)
        digest = f"b3:{identity.hexdigest()}"
        target = path_of(self.vault, "blobs", digest)
        self.folders.add(target.parent)
        if not _is_held(target, size_bytes=extent.size_bytes):
            self._write(extent, digest=digest, target=target)
        return StoredBlob(digest=digest, sha256=sha256.hexdigest(), size_bytes=extent.size_bytes)

    def make_durable(self) -> None:
        """Flush the names of all blobs put so far to the disk."""
        for folder in sorted(self.folders):
            sync_folder(folder)
        if self.folders:
            sync_folder(self.vault.objects / "blobs")
        self.folders.clear()

    def _write(self, extent: Extent, *, digest: str, target: Path) -> None:
        with explain_write_errors(target), _staged(self.vault) as (stream, staged):
            check = blake3()
            for chunk in extent.chunks():
                check.update(chunk)
                stream.write(chunk)
            if f"b3:{check.hexdigest()}" != digest:
                raise SourceChangedError(f"{extent.name} changed while it was being stored.", path=extent.name)
            stream.flush()
            os.fsync(stream.fileno())
            target.parent.mkdir(exist_ok=True)
            os.replace(staged, target)


def put_record(vault: Vault, kind: ObjectKind, content: bytes) -> str:
    """Store a small record durably and return its digest; nothing is written if it is there."""
    digest = digest_bytes(content)
    target = path_of(vault, kind, digest)
    if not _is_held(target, size_bytes=len(content)):
        with explain_write_errors(target):
            with write_atomically(target) as stream:
                stream.write(content)
            sync_folder(target.parent.parent)
    return digest


def read_object(vault: Vault, kind: ObjectKind, digest: str) -> bytes:
    """Return the bytes of an object, checked.

    Raises:
        MissingObjectError: it is not there.
        CorruptObjectError: its bytes do not match its digest.
    """
    with _opened(vault, kind, digest) as stream:
        content = stream.read()
    if digest_bytes(content) != digest:
        raise _corrupt(kind, digest)
    return content


def copy_blob(vault: Vault, digest: str, target: BinaryIO) -> None:
    """Append the bytes of a blob to `target` and check them on the way; on an error the caller drops what was written.

    Raises:
        MissingObjectError: it is not there.
        CorruptObjectError: its bytes do not match its digest.
    """
    with _opened(vault, "blobs", digest) as stream:
        check = blake3()
        while chunk := stream.read(CHUNK_BYTES):
            check.update(chunk)
            target.write(chunk)
    if f"b3:{check.hexdigest()}" != digest:
        raise _corrupt("blobs", digest)


def is_intact(vault: Vault, kind: ObjectKind, digest: str) -> bool:
    """Return whether the bytes of an object match its digest."""
    with _opened(vault, kind, digest) as stream:
        check = blake3()
        while chunk := stream.read(CHUNK_BYTES):
            check.update(chunk)
    return f"b3:{check.hexdigest()}" == digest


def has_object(vault: Vault, kind: ObjectKind, digest: str) -> bool:
    """Return whether the store has an object of this kind and digest."""
    return path_of(vault, kind, digest).is_file()


def list_objects(vault: Vault, kind: ObjectKind, *, prefix: str = "") -> Iterator[str]:
    """Yield the digests of all objects of a kind whose hex digits begin with `prefix`, in order."""
    for folder in sorted((vault.objects / kind).glob(f"{prefix[:2]}*")):
        for path in sorted(folder.glob("*")):
            digest = f"b3:{folder.name}{path.name}"
            if is_digest(digest) and digest.startswith(f"b3:{prefix}"):
                yield digest


def path_of(vault: Vault, kind: ObjectKind, digest: str) -> Path:
    """Return where an object lies or would lie.

    Raises:
        UnknownNameError: `digest` is not a digest.
    """
    if not is_digest(digest):
        raise UnknownNameError(f"{digest!r} is not a digest.", name=digest)
    return vault.objects / kind / digest[3:5] / digest[5:]


def _is_held(path: Path, *, size_bytes: int) -> bool:
    """Return whether the object is there, and make it young so that a garbage collection beside us leaves it alone."""
    try:
        if path.stat().st_size != size_bytes:
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise  # a store that we may only read needs no youth: nobody collects garbage in it
    return True


@contextlib.contextmanager
def _staged(vault: Vault) -> Iterator[tuple[BinaryIO, Path]]:
    handle, name = tempfile.mkstemp(dir=vault.staging)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream, Path(name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


@contextlib.contextmanager
def _opened(vault: Vault, kind: ObjectKind, digest: str) -> Iterator[BinaryIO]:
    try:
        with path_of(vault, kind, digest).open("rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise MissingObjectError(f"The store has no object {digest} in {kind}.", digest=digest) from error


def _corrupt(kind: ObjectKind, digest: str) -> CorruptObjectError:
    return CorruptObjectError(f"Object {digest} in {kind} is damaged: its bytes have another digest.", digest=digest)
