"""What a source of another tool holds: its files, where they lie, and the digest under which that tool keeps each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import Field

from birdbone.core.schema import Strict
from birdbone.vault.errors import BadNameError, BadSourceError, UnsupportedFileError
from birdbone.vault.names import check_relative_path

SourceKind = Literal["huggingface", "dvc", "lfs", "oci", "plain"]
HashName = Literal["sha256", "sha1-git", "md5", "md5-dos2unix"]
"""`sha1-git` is git's digest of a blob; `md5-dos2unix` is the MD5 of DVC before 3.0, which read CRLF in texts as LF."""

_DVC_CHUNK_BYTES = 1 << 20  # DVC converts line ends chunk by chunk, so its digest depends on this size
_DVC_TEXT_BLOCK_BYTES = 512
_DVC_TEXT_CHARACTERS = bytes(range(32, 127)) + b"\n\r\t\f\b"
_DVC_MAX_NONTEXT_SHARE = 0.30


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file: its path in the artefact, where its bytes lie, and what its tool says of them, if it says anything."""

    path: str
    lies_at: Path
    algorithm: HashName | None = None
    digest: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A source that was recognised; its small records were checked, its files were not yet."""

    source: SourceKind
    files: Sequence[SourceFile]
    hint: str
    """What to do about a file that does not match its digest."""
    kind: str = "model"
    repo: str | None = None
    revision: str | None = None


class ImportedFile(Strict):
    """One file as it came in, with the digest that its source had for it and that was found true."""

    path: str
    """Path in the artefact."""
    size_bytes: int = Field(ge=0)
    """Size."""
    algorithm: HashName | None = None
    """Hash function of the source; None where the source keeps no digest."""
    digest: str | None = None
    """Digest in hex, without a prefix."""


class Provenance(Strict):
    """Where an artefact came from: plain data for a version's message or a note."""

    source: SourceKind
    """The tool that kept it."""
    repo: str | None = None
    """Name of the repository on the Hugging Face hub."""
    revision: str | None = None
    """Commit on the hub, digest in the `.dvc` file, or version of an exported layout or folder."""
    files: tuple[ImportedFile, ...] = ()
    """The files in the order of their paths."""

    def in_words(self) -> str:
        """Return it in one line, for a version's message."""
        tool = {"huggingface": "the Hugging Face cache", "dvc": "DVC", "lfs": "Git LFS", "oci": "an OCI layout"}
        told = "@".join(part for part in (self.repo, self.revision) if part)
        count = f"{len(self.files)} file{'' if len(self.files) == 1 else 's'}"
        return f"imported {count} from {tool.get(self.source, 'plain files')}{f' ({told})' if told else ''}"


def safe_path(path: Any, *, named_by: str) -> str:
    """Return a path that a record of another tool names, if it stays inside the artefact.

    Raises:
        BadSourceError: it is no text, absolute, or has an empty, `.` or `..` part, a backslash or a NUL.
    """
    try:
        return check_relative_path(path if isinstance(path, str) else "")
    except BadNameError as error:
        raise BadSourceError(
            f"{named_by} names the file {path!r}; a path inside the artefact was expected.", path=str(path)
        ) from error


def walk_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield path and place of each file in a folder, in order, links to files included, even dangling ones.

    The folder `.git` at its top is no content and is left out.

    Raises:
        UnsupportedFileError: it has a link to a folder.
        BadNameError: a path in it cannot be stored.
    """
    found: list[tuple[str, Path]] = []
    for where, folders, names in os.walk(folder, onerror=_raise):
        if Path(where) == folder and ".git" in folders:
            folders.remove(".git")
        linked = [name for name in folders if (Path(where) / name).is_symlink()]
        if linked:
            raise UnsupportedFileError(f"{Path(where) / linked[0]} is a link to a folder.", path=linked[0])
        paths = (Path(where) / name for name in names)
        found.extend((check_relative_path(path.relative_to(folder).as_posix()), path) for path in paths)
    return iter(sorted(entry for entry in found if entry[0] != ".git"))  # a file of this name: a linked worktree


def hash_file(path: Path, algorithm: HashName) -> str:
    """Return the digest of a file in hex, read piece by piece."""
    with path.open("rb") as stream:
        match algorithm:
            case "md5-dos2unix":
                return _md5_dos2unix(stream)
            case "sha1-git":
                return _digest(stream, lambda: hashlib.sha1(_git_header(stream), usedforsecurity=False))
            case "md5":
                return _digest(stream, lambda: hashlib.md5(usedforsecurity=False))
            case "sha256":
                return _digest(stream, hashlib.sha256)


def _digest(stream: BinaryIO, start: Callable[[], Any]) -> str:
    return str(hashlib.file_digest(stream, start).hexdigest())  # type: ignore[arg-type]


def _git_header(stream: BinaryIO) -> bytes:
    return b"blob %d\x00" % os.fstat(stream.fileno()).st_size


def _md5_dos2unix(stream: BinaryIO) -> str:
    """Source: DVC 2, `dvc_data.hashfile`: a file counts as text by its first 512 bytes."""
    hasher = hashlib.md5(usedforsecurity=False)
    chunk = stream.read(_DVC_CHUNK_BYTES)
    is_text = _is_text(chunk[:_DVC_TEXT_BLOCK_BYTES])
    while chunk:
        hasher.update(chunk.replace(b"\r\n", b"\n") if is_text else chunk)
        chunk = stream.read(_DVC_CHUNK_BYTES)
    return hasher.hexdigest()


def _is_text(block: bytes) -> bool:
    if not block or b"\x00" in block:
        return not block
    return len(block.translate(None, _DVC_TEXT_CHARACTERS)) / len(block) <= _DVC_MAX_NONTEXT_SHARE


def _raise(error: OSError) -> None:
    raise error
