"""A new artefact from an old one, with some tensors and files of it replaced: what a merge and a partial revert make.

Tensors that the store holds are named, not copied; only new content is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from birdbone.vault.errors import BadRecordError, UnknownNameError
from birdbone.vault.folder import Vault
from birdbone.vault.formats.safetensors import DTYPE_BITS, TensorForm, element_width, encode_header
from birdbone.vault.names import check_relative_path
from birdbone.vault.records import Manifest, PlainFile, TensorEntry, TensorFile, canonical_json
from birdbone.vault.refs.lookup import read_manifest
from birdbone.vault.store.batches import BlobBatch, Content, Shape, Source
from birdbone.vault.store.objects import put_record


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorContent:
    """A tensor that the store does not hold yet: dtype as safetensors writes it, shape, little-endian bytes."""

    dtype: str
    shape: tuple[int, ...]
    content: bytes


TensorChange = TensorEntry | TensorContent | None
FileChange = PlainFile | bytes | None


def recompose(
    vault: Vault,
    artefact: str,
    *,
    tensors: Mapping[str, TensorChange] | None = None,
    files: Mapping[str, FileChange] | None = None,
) -> str:
    """Return the digest of an artefact that is `artefact` but for what is given; all of it is durable then.

    Args:
        artefact: digest, version or ref of what is changed.
        tensors: by the names of `Manifest.tensors()`: an entry of another manifest, new content, or None to take it
            away. A name that is not there yet is added, to the file that `path::name` says or else to the only one.
        files: files other than checkpoints, by path, likewise.

    Raises:
        UnknownNameError: a tensor to take away is not there, or it is not told to which file a new one goes.
        BadNameError: the path of a new file leaves the artefact.
        BadRecordError: the bytes of a new tensor do not fit its dtype and shape.
        MissingObjectError: the store lacks a blob that an entry names (at `commit`).
    """
    manifest = read_manifest(vault, artefact)
    found: dict[str, TensorFile | PlainFile] = {file.path: file for file in manifest.files}
    with BlobBatch(vault) as batch:
        for path, changes in _by_file(manifest, tensors or {}).items():
            file = found[path]
            assert file.layout == "safetensors", "only these have tensors"
            found[path] = _change_tensors(batch, file, changes)
        for path, change in (files or {}).items():
            found.pop(path, None)
            if change is not None:
                found[check_relative_path(path)] = _put_file(batch, path, change)
        batch.make_durable()
    changed = Manifest(kind=manifest.kind, files=tuple(found[path] for path in sorted(found)))
    return put_record(vault, "artefacts", canonical_json(changed))


def _by_file(manifest: Manifest, changes: Mapping[str, TensorChange]) -> dict[str, dict[str, TensorChange]]:
    """Return the changes by the path of their file and by the tensor's name in that file."""
    paths = [file.path for file in manifest.files if file.layout == "safetensors"]
    places = {key: (path, entry.name) for key, (path, entry) in manifest.located_tensors().items()}
    found: dict[str, dict[str, TensorChange]] = {}
    for key, change in changes.items():
        path, name = places.get(key) or _place_of_new(key, paths, change)
        found.setdefault(path, {})[name] = change
    return found


def _place_of_new(key: str, paths: list[str], change: TensorChange) -> tuple[str, str]:
    path, separator, name = key.partition("::")
    if change is None:
        raise UnknownNameError(f"There is no tensor {key!r} to take away.", name=key)
    if separator and path in paths:
        return path, name
    if len(paths) != 1:
        raise UnknownNameError(
            f"The artefact has {len(paths)} files of tensors; to which does {key!r} belong?",
            hint="Name it as `path::tensor`.",
            name=key,
        )
    return paths[0], key


def _change_tensors(batch: BlobBatch, file: TensorFile, changes: Mapping[str, TensorChange]) -> TensorFile:
    entries = {entry.name: entry for entry in file.tensors}
    for name, change in changes.items():
        if change is None:
            del entries[name]
        else:
            entries[name] = _entry(batch, name, change, before=entries.get(name))
    tensors = tuple(entries.values())
    header, header_bytes = file.header, file.size_bytes - sum(entry.size_bytes for entry in file.tensors)
    if _forms(tensors) != _forms(file.tensors):
        encoded = encode_header(_forms(tensors), metadata=file.metadata)
        header, header_bytes = batch.put(Source(data=Content(content=encoded, name=file.path))).digest, len(encoded)
    return TensorFile(
        path=file.path,
        size_bytes=header_bytes + sum(entry.size_bytes for entry in tensors),
        header=header,
        metadata=file.metadata,
        tensors=tensors,
    )


def _entry(
    batch: BlobBatch, name: str, change: TensorEntry | TensorContent, *, before: TensorEntry | None
) -> TensorEntry:
    if isinstance(change, TensorEntry):
        return change.model_copy(update={"name": name})
    if 8 * len(change.content) != math.prod(change.shape) * DTYPE_BITS.get(change.dtype, -1):
        raise BadRecordError(
            f"Tensor {name!r} of dtype {change.dtype} and shape {change.shape} cannot have {len(change.content)} bytes."
        )
    is_alike = before is not None and (before.dtype, before.shape) == (change.dtype, change.shape)
    shape = Shape(width=element_width(change.dtype), below=before.digest if before is not None and is_alike else None)
    blob = batch.put(Source(data=Content(content=change.content, name=name), shape=shape))
    return TensorEntry(
        name=name,
        dtype=change.dtype,
        shape=change.shape,
        size_bytes=blob.size_bytes,
        digest=blob.digest,
        sha256=blob.sha256,
    )


def _put_file(batch: BlobBatch, path: str, change: PlainFile | bytes) -> PlainFile:
    if isinstance(change, PlainFile):
        return change.model_copy(update={"path": path})
    blob = batch.put(Source(data=Content(content=change, name=path)))
    return PlainFile(path=path, size_bytes=blob.size_bytes, digest=blob.digest, sha256=blob.sha256)


def _forms(tensors: tuple[TensorEntry, ...]) -> list[TensorForm]:
    return [(entry.name, entry.dtype, entry.shape) for entry in tensors]
