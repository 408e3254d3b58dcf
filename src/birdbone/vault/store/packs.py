r"""Packs: the files that hold blobs, one for each put, and the index of all of them.

```text
pack  = "BBPACK1\n"  entries  index  tail
entry = frames, one for each block of the blob  [low-rank update]  u32 size of each frame  u32 size of the update
      | digest (32 bytes) and u64 size of each chunk, for a file that was cut into chunks
index = one record of `_RECORD` for each blob, in the order of their digests
tail  = u64 number of records, BLAKE3 of the index, "BBPACK1\n"
```

A pack is named by the BLAKE3 of its index, written under another name, flushed and renamed. All numbers are
little-endian. A blob is checked against its digest each time it is read; `check`, the beginning of the BLAKE3 of an
entry's own bytes, is for `verify`, which also tells of a flipped bit that no reader would miss.

Theory of operation of the cache: a pack never changes under its name, so an index once read stays right; only which
packs there are can change. `find` asks the folder again when it does not know a digest, and `Packs.find` when a pack
that it knew is gone, because a garbage collection moved its blobs to another.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

import numpy as np
from blake3 import blake3

from birdbone.vault.errors import CorruptObjectError, MissingObjectError
from birdbone.vault.folder import Vault, sync_folder

_MAGIC = b"BBPACK1\n"
_TAIL_BYTES = 8 + 32 + len(_MAGIC)
_RECORD = np.dtype(
    [
        ("digest", "V32"), ("below", "V32"), ("offset", "<u8"), ("stored", "<u8"), ("size", "<u8"),
        ("kind", "u1"), ("width", "u1"), ("depth", "u1"), ("check", "V16"),
    ]
)  # fmt: skip
_NOTHING = bytes(32)
_MANY_FILES = 256
_CHECK_BYTES = 16
_COPY_BYTES = 8 << 20


class EntryKind(IntEnum):
    """What the bytes of an entry are."""

    FRAMES = 0
    CHUNKS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a blob lies and in which form."""

    digest: str
    pack: str
    offset: int
    stored_bytes: int
    size_bytes: int
    kind: EntryKind
    width: int
    depth: int
    """How many blobs must be read below it."""
    below: str | None
    check: bytes
    """The first 16 bytes of the BLAKE3 of the entry."""


@dataclass(slots=True)
class PackWriter:
    """Writes one pack; nothing is made if nothing was added. Close it by `finish`, or by `abort`."""

    vault: Vault
    _stream: BinaryIO | None = None
    _path: Path | None = None
    _start: int = 0
    _check: blake3 = field(default_factory=blake3)
    _places: dict[str, Place] = field(default_factory=dict)

    def begin(self) -> None:
        """Begin an entry, or begin it anew: what was written since the last `end` is dropped."""
        if self._stream is None:
            self._path = self.vault.staging / f"pack-{secrets.token_hex(8)}"
            self._stream = self._path.open("w+b")
            self._stream.write(_MAGIC)
            self._start = len(_MAGIC)
        self._stream.seek(self._start)
        self._stream.truncate()
        self._check = blake3()

    def write(self, part: bytes | memoryview) -> None:
        """Append to the entry that was begun."""
        assert self._stream is not None, "begin comes first"
        self._stream.write(part)
        self._check.update(part)

    def end(
        self,
        digest: str,
        *,
        size_bytes: int,
        kind: EntryKind,
        width: int = 1,
        depth: int = 0,
        below: str | None = None,
        check: bytes | None = None,
    ) -> Place:
        """End the entry: from now on it is the blob `digest`.

        Args:
            check: of an entry that was copied, the check that it had, so that damage stays to be found.
        """
        assert self._stream is not None, "begin comes first"
        end = self._stream.tell()
        place = Place(
            digest=digest,
            pack="",
            offset=self._start,
            stored_bytes=end - self._start,
            size_bytes=size_bytes,
            kind=kind,
            width=width,
            depth=depth,
            below=below,
            check=check or self._check.digest(length=_CHECK_BYTES),
        )
        self._places[digest] = place
        self._start = end
        return place

    def has(self, digest: str) -> bool:
        """Return whether this pack holds the blob."""
        return digest in self._places

    def finish(self) -> str | None:
        """Make the pack durable and return its name; None if it would be empty."""
        if self._stream is None or self._path is None:
            return None
        try:
            return self._seal(self._stream, self._path) if self._places else None
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop what was not finished."""
        stream, path = self._stream, self._path
        self._stream, self._path, self._places = None, None, {}
        if stream is not None and path is not None:
            with contextlib.suppress(OSError):  # on a full disk, closing tries once more to write
                stream.close()
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def _seal(self, stream: BinaryIO, path: Path) -> str:
        index = _encode_index(self._places[digest] for digest in sorted(self._places))
        check = blake3(index)
        stream.seek(self._start)
        stream.truncate()
        stream.write(index + len(self._places).to_bytes(8, "little") + check.digest() + _MAGIC)
        stream.flush()
        os.fsync(stream.fileno())
        name = f"{check.hexdigest()}.pack"
        os.replace(path, self.vault.packs / name)
        sync_folder(self.vault.packs)
        return name


@dataclass(slots=True)
class Packs:
    """The packs of a store, opened as they are needed. Use it as a context; several threads may read at once."""

    vault: Vault
    _open: dict[str, BinaryIO] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Packs:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._open.values():
            stream.close()
        self._open.clear()

    def find(self, digest: str) -> Place:
        """Return where a blob lies; its pack is open from then on, so that it can be read whatever happens to the name.

        Raises:
            MissingObjectError: no pack has it.
            CorruptObjectError: none that can be read whole has it.
        """
        for refresh in (False, True):  # a garbage collection may have moved it to another pack since we looked
            place = find(self.vault, digest, refresh=refresh)
            if place is not None:
                with contextlib.suppress(FileNotFoundError):
                    self._stream(place.pack)
                    return place
        if broken := broken_packs(self.vault):
            raise CorruptObjectError(
                f"Object {digest} cannot be found, and the index of pack {broken[0]} is damaged.", digest=digest
            )
        raise MissingObjectError(f"The store has no object {digest} in blobs.", digest=digest)

    def read(self, place: Place, offset: int, size: int) -> bytes:
        """Return `size` bytes of an entry from `offset` on.

        Raises:
            CorruptObjectError: the pack ends before them.
        """
        if offset < 0 or offset + size > place.stored_bytes:
            raise CorruptObjectError(f"Object {place.digest} in blobs is damaged.", digest=place.digest)
        found = os.pread(self._stream(place.pack).fileno(), size, place.offset + offset)
        if len(found) != size:
            raise CorruptObjectError(f"Pack {place.pack} is cut short.", digest=place.digest)
        return found

    def is_whole(self, place: Place) -> bool:
        """Return whether the bytes of an entry are those that were written, whatever they stand for."""
        check = blake3()
        for offset in range(0, place.stored_bytes, _COPY_BYTES):
            check.update(self.read(place, offset, min(_COPY_BYTES, place.stored_bytes - offset)))
        return check.digest(length=_CHECK_BYTES) == place.check

    def _stream(self, pack: str) -> BinaryIO:
        with self._lock:
            if pack not in self._open:
                if len(self._open) == _MANY_FILES:
                    _allow_more_files()
                self._open[pack] = (self.vault.packs / pack).open("rb")
            return self._open[pack]


def _allow_more_files() -> None:
    """Let this process open as many files as the system allows it: a store may have more packs than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def find(vault: Vault, digest: str, *, refresh: bool = False) -> Place | None:
    """Return where a blob lies, or None; `refresh` looks into the folder even if the blob is known."""
    found = find_known(vault, digest)
    if refresh or found is None:
        _index_of(vault).refresh()
        found = find_known(vault, digest)
    return found


def find_known(vault: Vault, digest: str) -> Place | None:
    """Return where a blob lies as far as this process knows; the folder is not looked into."""
    return next(iter(_index_of(vault).forms(digest)), None)


def forms_of(vault: Vault, digest: str) -> tuple[Place, ...]:
    """Return every form of a blob that this process knows of, the one that is read with least work first."""
    return _index_of(vault).forms(digest)


def all_places(vault: Vault) -> list[Place]:
    """Return every entry of every pack, by pack and offset; a blob that two packs hold comes twice."""
    index = _index_of(vault)
    index.refresh()
    return sorted(
        (place for places in index.by_pack.values() for place in places), key=lambda place: (place.pack, place.offset)
    )


def refresh_index(vault: Vault) -> None:
    """Look which packs there are now."""
    _index_of(vault).refresh()


def forget_index(vault: Vault) -> None:
    """Read every index again when it is needed next: somebody may have damaged one that was read already."""
    _indexes.pop(vault.packs.absolute(), None)


def broken_packs(vault: Vault) -> list[str]:
    """Return the names of packs whose index is damaged: some of their blobs cannot be found."""
    index = _index_of(vault)
    index.refresh()
    return sorted(index.broken)


class _Index:
    """What one process knows of the packs of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_pack: dict[str, tuple[Place, ...]] = {}
        self.broken: set[str] = set()
        self._by_digest: dict[str, tuple[Place, ...]] = {}
        self._lock = threading.Lock()

    def forms(self, digest: str) -> tuple[Place, ...]:
        return self._by_digest.get(digest, ())

    def refresh(self) -> None:
        with self._lock:
            there = {entry.name for entry in os.scandir(self.folder) if entry.name.endswith(".pack")}
            if there == self.by_pack.keys():
                return
            self.broken &= there
            self.by_pack = {name: self.by_pack[name] if name in self.by_pack else self._read(name) for name in there}
            known: dict[str, tuple[Place, ...]] = {}
            for places in self.by_pack.values():
                for place in places:
                    others = known.get(place.digest)
                    known[place.digest] = (place,) if others is None else tuple(sorted((*others, place), key=_by_work))
            self._by_digest = known

    def _read(self, name: str) -> tuple[Place, ...]:
        try:
            places, is_sound = read_index(self.folder / name)
        except FileNotFoundError:
            return ()
        if not is_sound:
            self.broken.add(name)
        return places


def _by_work(place: Place) -> tuple[int, str, int]:
    return place.depth, place.pack, place.offset


_indexes: dict[Path, _Index] = {}


def _index_of(vault: Vault) -> _Index:
    folder = vault.packs.absolute()
    return _indexes.setdefault(folder, _Index(folder))


def read_index(path: Path) -> tuple[tuple[Place, ...], bool]:
    """Return the entries of one pack, and whether its index is sound.

    Of an index that is not, what can be read is given all the same: a blob that it leads to is checked when it is read,
    so that a flipped bit costs one blob and not a pack.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        tail = os.pread(stream.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        count = int.from_bytes(tail[:8], "little")
        start = size - _TAIL_BYTES - count * _RECORD.itemsize
        if len(tail) != _TAIL_BYTES or start < len(_MAGIC):
            return (), False
        raw = os.pread(stream.fileno(), count * _RECORD.itemsize, start)
        head = os.pread(stream.fileno(), len(_MAGIC), 0)
    check = blake3(raw)
    is_whole = head == _MAGIC == tail[-len(_MAGIC) :]
    is_sound = is_whole and check.digest() == tail[8:40] and f"{check.hexdigest()}.pack" == path.name
    records = (record for record in np.frombuffer(raw, _RECORD) if is_sound or _makes_sense(record, start))
    return tuple(_place(record, path.name) for record in records), is_sound


def _makes_sense(record: np.void, end: int) -> bool:
    is_inside = int(record["offset"]) + int(record["stored"]) <= end
    return is_inside and int(record["kind"]) in list(EntryKind) and int(record["width"]) in (1, 2, 4, 8)


def _encode_index(places: Iterable[Place]) -> bytes:
    rows = [
        (
            bytes.fromhex(place.digest[3:]),
            bytes.fromhex(place.below[3:]) if place.below else _NOTHING,
            place.offset,
            place.stored_bytes,
            place.size_bytes,
            place.kind,
            place.width,
            place.depth,
            place.check,
        )
        for place in places
    ]
    return np.array(rows, _RECORD).tobytes()


def _place(record: np.void, pack: str) -> Place:
    below = bytes(record["below"])
    return Place(
        digest=f"b3:{bytes(record['digest']).hex()}",
        pack=pack,
        offset=int(record["offset"]),
        stored_bytes=int(record["stored"]),
        size_bytes=int(record["size"]),
        kind=EntryKind(int(record["kind"])),
        width=int(record["width"]),
        depth=int(record["depth"]),
        below=None if below == _NOTHING else f"b3:{below.hex()}",
        check=bytes(record["check"]),
    )
