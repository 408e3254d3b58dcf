"""Brings in what other tools keep: recognised, checked against the digests of that tool, and only then stored.

The files are stored from where they lie: they are gathered as links in a folder for the moment, never copied.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from birdbone.vault.artefacts import put_folder
from birdbone.vault.errors import (
    BadSourceError,
    IncompleteSourceError,
    SourceChangedError,
    SourceMismatchError,
    UnsupportedFileError,
)
from birdbone.vault.folder import Vault
from birdbone.vault.interop.dvc import dvc_file_of, read_dvc
from birdbone.vault.interop.export_record import EXPORT_RECORD, read_export_record
from birdbone.vault.interop.huggingface_cache import is_huggingface_cache, read_huggingface_cache
from birdbone.vault.interop.lfs import has_pointers, read_lfs
from birdbone.vault.interop.oci_layout import OciLayout, is_oci_layout, read_oci, read_oci_layout
from birdbone.vault.interop.source import ImportedFile, Provenance, Reading, SourceFile, hash_file, walk_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An artefact that came in, and where from."""

    artefact: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class _Identity:
    """What of a file changes when somebody writes to it."""

    inode: int
    size_bytes: int
    changed_at_ns: int


def import_source(vault: Vault, source: Path, *, kind: str | None = None) -> Imported:
    """Return the artefact that a source of another tool is, after all of it was checked and is durable in the store.

    Recognised are: a repository in a Hugging Face cache, a snapshot or a part of one; a `.dvc` file, or what it
    tracks; a pointer of Git LFS, or a folder with pointers; an OCI image layout; else a plain file or folder. No hub,
    remote or server is asked. A repository's `.git` and the record of our own `export_folder` are left out.

    Args:
        source: a file or folder. Not changed.
        kind: kind of the artefact; None means what the source says, else `model`.

    Raises:
        IncompleteSourceError: some of its bytes are not on this machine; the hint says how to fetch them.
        SourceMismatchError: bytes differ from the digest under which the tool keeps them.
        BadSourceError: a record of the tool is malformed, or names a path outside of the artefact.
        SourceChangedError: somebody wrote to it meanwhile.
        and what `put_folder` raises. No digest of an artefact comes back then, and no ref was touched.
    """
    return _store(vault, _read(Path(os.path.normpath(source.absolute()))), kind=kind)  # `.` has no name to look beside


def import_oci(vault: Vault, layout: Path, *, kind: str | None = None) -> Imported:
    """Return the artefact that an OCI image layout holds, each digest checked. Raises what `import_source` does."""
    return _store(vault, read_oci(layout), kind=kind)


def verify_oci_layout(layout: Path) -> OciLayout:
    """Return the manifest of a layout, after every digest and size in it was found true.

    Raises:
        IncompleteSourceError, SourceMismatchError, BadSourceError: as `import_source` does.
    """
    _check(read_oci(layout))
    return read_oci_layout(layout)


def _read(source: Path) -> Reading:
    if dvc_file_of(source):
        return read_dvc(source)
    if is_oci_layout(source):
        return read_oci(source)
    if is_huggingface_cache(source):
        return read_huggingface_cache(source)
    return read_lfs(source) if has_pointers(source) else _read_plain(source)


def _read_plain(source: Path) -> Reading:
    if not source.exists():
        raise UnsupportedFileError(f"{source} is not there.", hint="Name a file or folder.", path=str(source))
    record = read_export_record(source)
    found = [(source.name, source)] if source.is_file() else walk_files(source)
    files = tuple(
        SourceFile(path=path, lies_at=place) for path, place in found if record is None or path != EXPORT_RECORD
    )
    return Reading(source="plain", files=files, hint="", revision=record.version or record.artefact if record else None)


def _store(vault: Vault, reading: Reading, *, kind: str | None) -> Imported:
    before = _check(reading)
    with tempfile.TemporaryDirectory(prefix="birdbone-import-") as name:
        folder = Path(name)
        _link(folder, reading.files)
        artefact = put_folder(vault, folder, kind=kind or reading.kind)
    _check_unchanged(reading.files, before)
    return Imported(artefact=artefact, provenance=_provenance(reading, before))


def _check(reading: Reading) -> list[_Identity]:
    """Return what each file is now, after the digests that the source has for them were found true."""
    _check_paths(reading.files)
    for file in reading.files:
        _check_there(file)
    identities = [_identity(file) for file in reading.files]
    for file in reading.files:
        _check_digest(file, hint=reading.hint)
    return identities


def _check_paths(files: Sequence[SourceFile]) -> None:
    paths = Counter(file.path for file in files)
    folders = {parent for path in paths for parent in _parents(path)}
    clashing = sorted(path for path, count in paths.items() if path in folders or count > 1)
    if clashing:
        raise BadSourceError(f"The source names {clashing[0]} twice, or both as a file and a folder.", path=clashing[0])


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _check_there(file: SourceFile) -> None:
    if file.lies_at.is_file():
        return
    if file.algorithm is not None:
        raise IncompleteSourceError(f"The bytes of {file.path} are missing: no {file.lies_at}.", path=file.path)
    what = "a dangling link" if file.lies_at.is_symlink() else "not a plain file"
    raise UnsupportedFileError(f"{file.lies_at} is {what}.", path=str(file.lies_at))


def _identity(file: SourceFile) -> _Identity:
    status = file.lies_at.stat()
    return _Identity(status.st_ino, status.st_size, status.st_mtime_ns)


def _check_digest(file: SourceFile, *, hint: str) -> None:
    size_bytes = file.lies_at.stat().st_size
    if file.size_bytes is not None and file.size_bytes != size_bytes:
        raise SourceMismatchError(
            f"{file.path} has {size_bytes} bytes; its source says {file.size_bytes}.", hint=hint, path=str(file.lies_at)
        )
    if file.algorithm is None:
        return
    found = hash_file(file.lies_at, file.algorithm)
    if found != file.digest:
        raise SourceMismatchError(
            f"{file.path} does not match its {file.algorithm} digest: expected {file.digest}, found {found}.",
            hint=hint,
            path=str(file.lies_at),
        )


def _link(folder: Path, files: Iterable[SourceFile]) -> None:
    for file in files:
        try:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / file.path).symlink_to(file.lies_at.resolve())
        except OSError as error:  # a name that is too long, say
            raise BadSourceError(f"{file.path!r} cannot be the path of a file here: {error.strerror}.") from error


def _check_unchanged(files: Sequence[SourceFile], before: Sequence[_Identity]) -> None:
    for file, identity in zip(files, before, strict=True):
        if not file.lies_at.is_file() or _identity(file) != identity:
            raise SourceChangedError(f"{file.path} changed while it was being imported.", path=str(file.lies_at))


def _provenance(reading: Reading, identities: Sequence[_Identity]) -> Provenance:
    files = (
        ImportedFile(path=file.path, size_bytes=identity.size_bytes, algorithm=file.algorithm, digest=file.digest)
        for file, identity in zip(reading.files, identities, strict=True)
    )
    return Provenance(
        source=reading.source,
        repo=reading.repo,
        revision=reading.revision,
        files=tuple(sorted(files, key=lambda file: file.path)),
    )
