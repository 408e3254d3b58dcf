"""Artefacts go in as folders or files and come out byte for byte the same.

A `.safetensors` file is split, so that a tensor which did not change is stored once however many versions hold it.
Its header is kept as it stood. Trap: the safetensors library writes several metadata keys in an order that differs from
run to run, so whoever wants equal digests saves with one key at most.
File modes, times and empty folders are not content and are not kept; links to files are followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from birdbone.vault.errors import BadNameError, DestinationNotEmptyError, UnsupportedFileError
from birdbone.vault.folder import Vault, explain_write_errors
from birdbone.vault.lookup import read_manifest
from birdbone.vault.names import check_kind, check_relative_path
from birdbone.vault.objects import BlobBatch, Extent, Hasher, copy_blob, put_record
from birdbone.vault.records import Manifest, PlainFile, TensorEntry, TensorFile, canonical_json
from birdbone.vault.safetensors_file import TensorSpan, read_layout


def put_folder(vault: Vault, folder: Path, *, kind: str) -> str:
    """Return the digest of the artefact that a folder is, after all of it is durable in the store.

    Equal content gives the equal digest, and writes nothing the second time. At most one chunk is in memory.

    Raises:
        BadSafetensorsError, TruncatedSafetensorsError: a checkpoint in it is damaged.
        UnsupportedFileError: it has a link to a folder, a socket or a device, or is no folder.
        BadNameError: a path in it cannot be stored.
        SourceChangedError: somebody is writing to it.
        DiskFullError, ReadOnlyVaultError: the store cannot take it.
    """
    return _put(vault, sorted(_files_of(folder)), kind=kind)


def put_file(vault: Vault, path: Path, *, kind: str) -> str:
    """Return the digest of the artefact that one file is, under its own name. Raises what `put_folder` does."""
    if not path.is_file():
        raise UnsupportedFileError(f"{path} is not a plain file.", path=str(path))
    return _put(vault, [(check_relative_path(path.name), path)], kind=kind)


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
    with _replacing(destination) as folder:
        for file in manifest.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:
                _write_file(vault, file, stream)
    return destination


def _put(vault: Vault, files: list[tuple[str, Path]], *, kind: str) -> str:
    check_kind(kind)
    batch = BlobBatch(vault)
    manifest = Manifest(kind=kind, files=tuple(_put_one(batch, path, source) for path, source in files))
    batch.make_durable()
    return put_record(vault, "artefacts", canonical_json(manifest))


def _put_one(batch: BlobBatch, path: str, source: Path) -> TensorFile | PlainFile:
    with source.open("rb") as stream:
        put = _put_tensors if path.endswith(".safetensors") else _put_plain
        return put(batch, stream, path=path, size_bytes=os.fstat(stream.fileno()).st_size)


def _put_plain(batch: BlobBatch, stream: BinaryIO, *, path: str, size_bytes: int) -> PlainFile:
    blob = batch.put(Extent(stream=stream, name=path, offset=0, size_bytes=size_bytes))
    return PlainFile(path=path, size_bytes=size_bytes, digest=blob.digest, sha256=blob.sha256)


def _put_tensors(batch: BlobBatch, stream: BinaryIO, *, path: str, size_bytes: int) -> TensorFile:
    layout = read_layout(stream, size_bytes=size_bytes, name=path)
    whole = hashlib.sha256()
    header = batch.put(Extent(stream=stream, name=path, offset=0, size_bytes=layout.header_bytes), also=(whole,))
    entries = tuple(
        _put_tensor(batch, stream, span, path=path, data_offset=layout.header_bytes, whole=whole)
        for span in layout.tensors
    )
    return TensorFile(
        path=path,
        size_bytes=size_bytes,
        sha256=whole.hexdigest(),
        header=header.digest,
        metadata=layout.metadata,
        tensors=entries,
    )


def _put_tensor(
    batch: BlobBatch, stream: BinaryIO, span: TensorSpan, *, path: str, data_offset: int, whole: Hasher
) -> TensorEntry:
    extent = Extent(stream=stream, name=path, offset=data_offset + span.begin, size_bytes=span.end - span.begin)
    blob = batch.put(extent, also=(whole,))
    return TensorEntry(
        name=span.name,
        dtype=span.dtype,
        shape=span.shape,
        size_bytes=blob.size_bytes,
        digest=blob.digest,
        sha256=blob.sha256,
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


def _write_file(vault: Vault, file: TensorFile | PlainFile, stream: BinaryIO) -> None:
    if file.layout == "file":
        copy_blob(vault, file.digest, stream)
        return
    for digest in (file.header, *(entry.digest for entry in file.tensors)):
        copy_blob(vault, digest, stream)


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
