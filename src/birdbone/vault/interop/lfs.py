"""Reads files that Git LFS keeps: a pointer in the working copy, the bytes in the repository's `lfs/objects`.

Source: the pointer format of git-lfs (docs/spec.md, version 1) and repositories that git-lfs 3.3 wrote.
"""

from __future__ import annotations

import re
from pathlib import Path

from birdbone.vault.errors import BadSourceError, IncompleteSourceError
from birdbone.vault.interop.source import Reading, SourceFile, walk_files

MAX_POINTER_BYTES = 1024
"""The format's own limit."""

_VERSION_LINE = b"version https://git-lfs.github.com/spec/v1\n"
_OID = re.compile(r"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_SIZE = re.compile(r"^size (\d{1,19})$", re.MULTILINE)
_FETCH = "Run `git lfs pull` in that repository."


def is_pointer(path: Path) -> bool:
    """Return whether a file is a pointer of Git LFS; the file that it stands for is elsewhere."""
    if not path.is_file() or path.stat().st_size > MAX_POINTER_BYTES:
        return False
    with path.open("rb") as stream:
        return stream.read(len(_VERSION_LINE)) == _VERSION_LINE


def has_pointers(source: Path) -> bool:
    """Return whether `source` is a pointer, or a folder with one in it."""
    return is_pointer(source) or (source.is_dir() and any(is_pointer(place) for _, place in walk_files(source)))


def read_lfs(source: Path) -> Reading:
    """Return the file that a pointer stands for, or the files of a folder with each pointer replaced so.

    Raises:
        BadSourceError: a pointer is malformed.
        IncompleteSourceError: there is no repository around it, or the repository does not have the object.
    """
    places = [(source.name, source)] if source.is_file() else walk_files(source)
    files = tuple(_follow(path, place) if is_pointer(place) else SourceFile(path=path, lies_at=place)
                  for path, place in places)  # fmt: skip
    hint = f"`git lfs fsck` names every damaged object. Delete it, then: {_FETCH}"
    return Reading(source="lfs", files=files, hint=hint)


def _follow(path: str, pointer: Path) -> SourceFile:
    text = pointer.read_bytes().decode("utf-8", "replace")
    oid, size = _OID.search(text), _SIZE.search(text)
    if oid is None or size is None:
        raise BadSourceError(
            f"{path} begins as a pointer of Git LFS but has no whole `oid sha256:` and `size`.",
            hint="Take the pointer from the last commit: `git restore` it.",
            path=str(pointer),
        )
    lies_at = _objects_of(pointer) / oid[1][:2] / oid[1][2:4] / oid[1]
    if not lies_at.is_file():
        raise IncompleteSourceError(
            f"{path} is a pointer of Git LFS, and the repository does not have its object {oid[1]}.",
            hint=_FETCH,
            path=str(pointer),
            digest=oid[1],
        )
    return SourceFile(path=path, lies_at=lies_at, algorithm="sha256", digest=oid[1], size_bytes=int(size[1]))


def _objects_of(pointer: Path) -> Path:
    for parent in pointer.resolve().parents:
        if (parent / ".git").exists():
            return _common_folder(parent / ".git") / "lfs" / "objects"
    raise IncompleteSourceError(
        f"{pointer.name} is a pointer of Git LFS, but lies in no git repository.",
        hint="Import it from a clone, or fetch the file itself.",
        path=str(pointer),
    )


def _common_folder(git: Path) -> Path:
    """Return the folder that all worktrees share; `.git` is a file in a linked worktree and in a submodule."""
    if git.is_file():
        told = git.read_text(encoding="utf-8", errors="replace").strip()
        if not told.startswith("gitdir: "):
            raise BadSourceError(f"{git} is a file that names no git folder.", path=str(git))
        git = git.parent / told.removeprefix("gitdir: ")
    common = git / "commondir"
    return git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
