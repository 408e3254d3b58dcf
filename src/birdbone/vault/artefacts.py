"""Artefacts go in as folders or files and come out byte for byte the same.

A `.safetensors` file is split, so that a tensor which did not change is stored once however many versions hold it, and
one that changed a little is stored as that change. Its header is kept as it stood. Trap: the safetensors library writes
several metadata keys in an order that differs from run to run, so whoever wants equal digests saves with one key at
most. Any other file is cut into chunks by its content; a pickle is bytes like any other and is never unpickled.
File modes, times and empty folders are not content and are not kept; links to files are followed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from birdbone.vault.errors import BadNameError, DestinationNotEmptyError, SourceChangedError, UnsupportedFileError
from birdbone.vault.folder import Vault, explain_write_errors
from birdbone.vault.formats.safetensors import TensorSpan, element_width, read_layout
from birdbone.vault.names import check_kind, check_relative_path
from birdbone.vault.records import Manifest, PlainFile, TensorEntry, TensorFile, canonical_json
from birdbone.vault.refs.lookup import read_manifest
from birdbone.vault.store.batches import BlobBatch, Extent, Shape, Source, num_threads
from birdbone.vault.store.codec.low_rank import LowRankUpdate
from birdbone.vault.store.objects import copy_blob, put_record
from birdbone.vault.store.packs import Packs


def put_folder(
    vault: Vault,
    folder: Path,
    *,
    kind: str,
    base: str | None = None,
    updates: Mapping[str, LowRankUpdate] | None = None,
) -> str:
    """Return the digest of the artefact that a folder is, after all of it is durable in the store.

    Equal content gives the equal digest, and writes nothing the second time. Of each file a few blocks are in memory.

    Args:
        base: what it was made from, as a ref, a version or an artefact: its tensors of the same name, dtype and shape
            are what the store tries to keep the new ones as changes of. It never alters what is stored.
        updates: by a tensor's name, the low-rank update that was added to the base's by `add_low_rank` before weights
            were shed: a healed tensor then costs its adapter and its mask. A hint like `base`.

    Raises:
        BadSafetensorsError, TruncatedSafetensorsError: a checkpoint in it is damaged.
        UnsupportedFileError: it has a link to a folder, a socket or a device, or is no folder.
        BadNameError: a path in it cannot be stored.
        SourceChangedError: somebody is writing to it.
        UnknownNameError: nothing is called `base`.
        DiskFullError, ReadOnlyVaultError: the store cannot take it.
    """
    hints = _hints(vault, base, updates or {})
    return _put(vault, sorted(_files_of(folder)), kind=kind, hints=hints)


def put_file(vault: Vault, path: Path, *, kind: str, base: str | None = None) -> str:
    """Return the digest of the artefact that one file is, under its own name. Raises what `put_folder` does."""
    if not path.is_file():
        raise UnsupportedFileError(f"{path} is not a plain file.", path=str(path))
    return _put(vault, [(check_relative_path(path.name), path)], kind=kind, hints=_hints(vault, base, {}))


def checkout(vault: Vault, name: str, destination: Path) -> Path:
    """Return `destination`, now a folder with the files of what `name` means, byte for byte as they were put.

    Each object is checked on the way, and the folder appears under its name only when all of it was found good.
    It is a working copy: it is not flushed to the disk.

    Args:
        name: a ref, a version or an artefact (see `resolve_artefact`).
        destination: missing, or an empty folder.

    Raises:
        DestinationNotEmptyError: something is there.
        CorruptObjectError, MissingObjectError: the store is damaged; nothing was written to `destination`.
    """
    manifest = read_manifest(vault, name)
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise DestinationNotEmptyError(f"{destination} is there already.", path=str(destination))
    with _replacing(destination) as folder, Packs(vault) as packs, ThreadPoolExecutor(num_threads()) as pool:
        for file in manifest.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:
                _write_file(packs, pool, file, stream.fileno())
    return destination


def is_checked_out(vault: Vault, name: str, folder: Path) -> bool:
    """Return whether a folder holds the files of what `name` means, byte for byte, and no others.

    Sizes are compared first, so a folder that differs is mostly told at once; else every byte is read.
    """
    files = {file.path: file for file in read_manifest(vault, name).files}
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if found.keys() != files.keys():
        return False
    if any(found[path].stat().st_size != file.size_bytes for path, file in files.items()):
        return False
    return all(is_same_file(found[path], file) for path, file in files.items())


def is_same_file(path: Path, file: TensorFile | PlainFile) -> bool:
    """Return whether a file has the very bytes that an entry of a manifest stands for.

    Raises:
        SourceChangedError: it became shorter while it was being read.
    """
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    sizes = [(file.digest, file.size_bytes)] if file.layout == "file" else _sizes(file)
    offset = 0
    with path.open("rb") as stream:
        for digest, size_bytes in sizes:
            if Extent(stream=stream, name=file.path, offset=offset, size_bytes=size_bytes).digest() != digest:
                return False
            offset += size_bytes
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hints:
    """What the new tensors were probably made from, by name, and what is known of blobs by digest."""

    below: Mapping[str, TensorEntry]
    updates: Mapping[str, LowRankUpdate]
    known_sha256: Mapping[str, str]


def _hints(vault: Vault, base: str | None, updates: Mapping[str, LowRankUpdate]) -> _Hints:
    files = read_manifest(vault, base).files if base is not None else ()
    entries = [entry for file in files if file.layout == "safetensors" for entry in file.tensors]
    return _Hints(
        below={entry.name: entry for entry in entries},
        updates=updates,
        known_sha256={entry.digest: entry.sha256 for entry in entries},
    )


def _put(vault: Vault, files: list[tuple[str, Path]], *, kind: str, hints: _Hints) -> str:
    check_kind(kind)
    with BlobBatch(vault, known_sha256=hints.known_sha256) as batch:
        manifest = Manifest(kind=kind, files=tuple(_put_one(batch, path, source, hints) for path, source in files))
        batch.make_durable()
    return put_record(vault, "artefacts", canonical_json(manifest))


def _put_one(batch: BlobBatch, path: str, source: Path, hints: _Hints) -> TensorFile | PlainFile:
    with source.open("rb") as stream:
        before = os.fstat(stream.fileno())
        if path.endswith(".safetensors"):
            file: TensorFile | PlainFile = _put_tensors(
                batch, stream, path=path, size_bytes=before.st_size, hints=hints
            )
        else:
            blob = batch.put_chunked(Extent(stream=stream, name=path, offset=0, size_bytes=before.st_size))
            file = PlainFile(path=path, size_bytes=before.st_size, digest=blob.digest, sha256=blob.sha256)
        after = os.fstat(stream.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SourceChangedError(f"{path} changed while it was being stored.", path=path)
    return file


def _put_tensors(batch: BlobBatch, stream: BinaryIO, *, path: str, size_bytes: int, hints: _Hints) -> TensorFile:
    layout = read_layout(stream, size_bytes=size_bytes, name=path)
    header = Source(data=Extent(stream=stream, name=path, offset=0, size_bytes=layout.header_bytes))
    tensors = [
        _source(stream, span, path=path, data_offset=layout.header_bytes, hints=hints) for span in layout.tensors
    ]
    first, *blobs = batch.put_all([header, *tensors])
    return TensorFile(
        path=path,
        size_bytes=size_bytes,
        header=first.digest,
        metadata=layout.metadata,
        tensors=tuple(
            TensorEntry(
                name=span.name,
                dtype=span.dtype,
                shape=span.shape,
                size_bytes=blob.size_bytes,
                digest=blob.digest,
                sha256=blob.sha256,
            )
            for span, blob in zip(layout.tensors, blobs, strict=True)
        ),
    )


def _source(stream: BinaryIO, span: TensorSpan, *, path: str, data_offset: int, hints: _Hints) -> Source:
    extent = Extent(stream=stream, name=path, offset=data_offset + span.begin, size_bytes=span.end - span.begin)
    below, update = hints.below.get(span.name), hints.updates.get(span.name)
    is_alike = below is not None and (below.dtype, below.shape) == (span.dtype, span.shape)
    return Source(
        data=extent,
        shape=Shape(
            width=element_width(span.dtype),
            below=below.digest if below is not None and is_alike else None,
            update=update if update is not None and update.shape == span.shape else None,
            dtype=span.dtype,
        ),
    )


def _files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    if not folder.is_dir():
        raise UnsupportedFileError(f"{folder} is not a folder.", path=str(folder))
    for where, folders, names in os.walk(folder, onerror=_raise):
        linked = [name for name in folders if (Path(where) / name).is_symlink()]
        if linked:
            raise UnsupportedFileError(f"{Path(where) / linked[0]} is a link to a folder.", path=linked[0])
        for name in names:
            path = Path(where) / name
            if not path.is_file():
                raise UnsupportedFileError(f"{path} is not a plain file.", path=str(path))
            yield check_relative_path(path.relative_to(folder).as_posix()), path


def _raise(error: OSError) -> None:
    raise error


def _write_file(packs: Packs, pool: ThreadPoolExecutor, file: TensorFile | PlainFile, handle: int) -> None:
    """Write the blobs of a file to their places in it, several at once."""
    sizes = [(file.digest, file.size_bytes)] if file.layout == "file" else _sizes(file)
    waiting, offset = [], 0
    for digest, size_bytes in sizes:
        waiting.append(pool.submit(_copy_to, packs, digest, handle, offset))
        offset += size_bytes
    try:
        for future in waiting:
            future.result()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)  # nobody may write to the file once it is closed


def _sizes(file: TensorFile) -> Iterator[tuple[str, int]]:
    yield file.header, file.size_bytes - sum(entry.size_bytes for entry in file.tensors)
    yield from ((entry.digest, entry.size_bytes) for entry in file.tensors)


def _copy_to(packs: Packs, digest: str, handle: int, offset: int) -> None:
    place = offset

    def write(piece: memoryview) -> None:
        nonlocal place
        while piece:
            count = os.pwrite(handle, piece, place)
            place += count
            piece = piece[count:]

    copy_blob(packs, digest, write)


@contextlib.contextmanager
def _replacing(destination: Path) -> Iterator[Path]:
    if not destination.name:
        raise BadNameError(f"{destination} cannot be checked out into.", name=str(destination))
    staged = destination.parent / f".{destination.name}.{secrets.token_hex(4)}"
    with explain_write_errors(destination):
        staged.mkdir(parents=True)
        try:
            yield staged
            staged.rename(destination)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
