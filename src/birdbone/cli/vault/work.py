"""The work folder: the files that a person changes, beside the vault that keeps their versions.

It is the folder that was last committed or checked out into; before that the folder of the workspace. `work.json` in
the workspace remembers it, the version that its files came from, and size, time and inode of each file as it was then:
a file that still has all three is not read again. A file so young that a change in the same tick of the clock could go
unseen is read all the same (git calls it racy).

Nothing here overwrites or removes a file whose bytes no version holds, unless it is forced.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from birdbone.cli.errors import UsageError, WorkChangedError, WorkMovedError
from birdbone.core import Workspace, find_workspace, write_json
from birdbone.core.schema import Strict
from birdbone.vault.artefacts import checkout, is_same_file, put_folder
from birdbone.vault.errors import BadSafetensorsError, ReadOnlyVaultError, UnsupportedFileError
from birdbone.vault.folder import Vault, open_vault
from birdbone.vault.formats.safetensors import read_layout
from birdbone.vault.names import Digest
from birdbone.vault.records import Manifest, PlainFile, TensorFile
from birdbone.vault.refs.lookup import read_manifest
from birdbone.vault.refs.refs import read_ref
from birdbone.vault.store.batches import Extent
from birdbone.vault.store.objects import has_object

IGNORE_NAME = ".birdboneignore"
"""File at the top of a work folder: patterns of what is left out, one a line, `#` for a comment."""

_RACY_NS = 2_000_000_000  # the coarsest clock of a file system in use, FAT's
_ALWAYS_LEFT_OUT = ("__pycache__",)

Entry = TensorFile | PlainFile


class Stamp(Strict):
    """What of a file changes when somebody writes to it."""

    size_bytes: int = Field(ge=0)
    """Size."""
    modified_ns: int
    """Time of the last change."""
    inode: int
    """Its number in the file system."""


class WorkState(Strict):
    """What is known of the work folder, as it is saved."""

    format: Literal["birdbone.work/1"] = "birdbone.work/1"
    """Generation of this record."""
    folder: str
    """Path, from the workspace's if it lies inside."""
    only: str | None = None
    """The one file in it that counts, if a file and not a folder was committed."""
    version: Digest
    """The version that its files came from or became."""
    written_ns: int
    """When this was written."""
    stamps: dict[str, Stamp]
    """Files that were found to be as the version has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A work folder, its vault, and what is known of it; `state` is None where nothing is."""

    workspace: Workspace
    vault: Vault
    folder: Path
    only: str | None
    state: WorkState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Files of a work folder by their path in the artefact, and what was left out."""

    files: Mapping[str, Path]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file that is not as a version has it. `num_tensors` counts those that differ; None where nothing tells."""

    path: str
    change: Literal["new", "changed", "gone"]
    size_bytes: int | None
    num_tensors: int | None = None

    def in_words(self) -> str:
        """Return it in one line."""
        if self.num_tensors is None:
            return f"{self.change:<8} {self.path}"
        what = "header only" if self.num_tensors == 0 else f"{self.num_tensors} tensor{'s' * (self.num_tensors != 1)}"
        return f"{self.change:<8} {self.path} ({what})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a work folder differs from a version."""

    changes: tuple[FileChange, ...]
    left_out: tuple[str, ...]
    stamps: Mapping[str, Stamp]
    """Of the files that are the same, taken before they were read."""


def open_store() -> Vault:
    """Return the vault of the workspace here or above."""
    return open_vault(find_workspace().vault_folder)


def open_work(path: Path | None = None) -> Work:
    """Return the work folder: `path`, else the last one, else the folder of the workspace.

    Raises:
        WorkspaceError: there is no workspace here or above.
        UsageError: the path is the workspace's own folder, or is not there.
    """
    workspace = find_workspace()
    vault = open_vault(workspace.vault_folder)
    state = _read_state(workspace, vault)
    known = (workspace.folder.parent / state.folder, state.only) if state else (workspace.folder.parent, None)
    chosen = known if path is None else _split(path.resolve())
    if workspace.folder in (chosen[0], *chosen[0].parents):
        raise UsageError(f"{path} is where the vault itself lies.", hint="Name the folder with your model.")
    is_known = state is not None and chosen == known
    return Work(workspace=workspace, vault=vault, folder=chosen[0], only=chosen[1], state=state if is_known else None)


def has_work(work: Work) -> bool:
    """Return whether there is a work folder: something was committed from it or checked out into it."""
    return work.state is not None


def scan_folder(folder: Path, *, only: str | None = None, kept: Mapping[str, Any] | None = None) -> Scan:
    """Return what of a folder is content: all files but hidden ones, caches of Python and what the folder ignores.

    Args:
        only: the one file that counts.
        kept: paths that count although they are hidden or ignored: a version has them.

    Raises:
        UnsupportedFileError: it is no folder, or something in it is neither a file nor a folder, or links to a folder.
    """
    files: dict[str, Path] = {}
    left_out: list[str] = []
    if only is not None:
        files = {only: folder / only} if (folder / only).is_file() else {}
        return Scan(files=files, left_out=())
    patterns = _ignored(folder)
    for path, place in _walk(folder, patterns, left_out):
        files[path] = place
    for path in kept or {}:
        if (folder / path).is_file():
            files.setdefault(path, folder / path)
    hidden = [path for path in left_out if path not in files and path not in (".birdbone/", IGNORE_NAME)]
    return Scan(files=dict(sorted(files.items())), left_out=tuple(sorted(hidden)))


def compare_work(work: Work, name: str | None) -> Comparison:
    """Return how the work folder differs from the version or artefact that `name` means; None: from nothing.

    What was found the same is remembered, so that it is not read again the next time.
    """
    manifest = read_manifest(work.vault, name) if name else None
    entries = _entries(manifest)
    scan = scan_folder(work.folder, only=work.only, kept=entries)
    trusted = _trusted(work, name)
    changes: list[FileChange] = []
    same: dict[str, Stamp] = {}
    for path in sorted(scan.files.keys() | entries.keys()):
        place, entry = scan.files.get(path), entries.get(path)
        stamp = _stamp(place) if place else None
        if place and entry and stamp and trusted.get(path) == stamp:
            same[path] = stamp
        elif change := _change(path, place, entry):
            changes.append(change)
        elif stamp:
            same[path] = stamp
    if work.state and name == work.state.version and same != trusted:
        with contextlib.suppress(ReadOnlyVaultError, OSError):  # it only saves work
            _write_state(work, work.state.version, same)
    return Comparison(changes=tuple(changes), left_out=scan.left_out, stamps=same)


def store_work(work: Work, *, kind: str, base: str | None) -> tuple[str, dict[str, Stamp]]:
    """Return the artefact that the work folder is, stored, and what its files were like before they were read."""
    kept = _entries(read_manifest(work.vault, base)) if base else {}
    scan = scan_folder(work.folder, only=work.only, kept=kept)
    if not scan.files:
        raise UnsupportedFileError(f"{work.folder} has no file to keep.", hint="Name the folder with your model.")
    stamps = {path: _stamp(place) for path, place in scan.files.items()}
    with tempfile.TemporaryDirectory(prefix="birdbone-commit-") as name:
        for path, place in scan.files.items():
            link = Path(name) / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(place.resolve())
        return put_folder(work.vault, Path(name), kind=kind, base=base), stamps


def remember_work(work: Work, version: str, stamps: Mapping[str, Stamp]) -> None:
    """Note that the work folder now is as `version` has it, its files as `stamps` say."""
    _write_state(work, version, stamps)


def check_not_moved(work: Work) -> None:
    """Do nothing if `HEAD` still is at the version that the work folder came from.

    Raises:
        WorkMovedError: somebody else committed there; committing the folder would take that back unseen.
    """
    head = read_ref(work.vault, "HEAD")
    if work.state and head and head != work.state.version:
        raise WorkMovedError(
            f"The files in {work.folder} came from {work.state.version[3:13]}; HEAD is at {head[3:13]} now.",
            folder=str(work.folder),
            version=work.state.version,
            head=head,
        )


def check_clean(work: Work) -> None:
    """Do nothing if no file of the work folder differs from the version that it came from; new ones may be there.

    Raises:
        WorkChangedError: one differs.
    """
    if work.state is None:
        return
    changed = [each.path for each in compare_work(work, work.state.version).changes if each.change != "new"]
    if changed:
        raise WorkChangedError(
            f"{changed[0]} in {work.folder} differs from HEAD; the files there could not follow.",
            hint="Commit what changed first, or take it back: `birdbone vault checkout HEAD --force`.",
            paths=changed,
        )


def lost_files(work: Work, name: str) -> list[str]:
    """Return the files that bringing `name` into the work folder would overwrite or remove, and no version holds."""
    old, new = _entries_of_state(work), _entries(read_manifest(work.vault, name))
    trusted = _trusted(work, work.state.version if work.state else None)
    return [path for path in sorted(old.keys() | new.keys()) if _would_lose(work, path, old, new, trusted)]


def check_nothing_lost(work: Work, name: str) -> None:
    """Do nothing if `name` can be brought into the work folder without a loss.

    Raises:
        WorkChangedError: a file has changes that no version holds.
    """
    if lost := lost_files(work, name):
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise WorkChangedError(f"{lost[0]}{more} would be overwritten; no version holds what is in it.", paths=lost)


def bring(work: Work, version: str) -> int:
    """Return how many files were written or removed, so that the work folder is as `version` has it.

    Call `check_nothing_lost` first. Everything is checked out and verified before the first file is replaced.
    """
    manifest = read_manifest(work.vault, version)
    old, new = _entries_of_state(work), _entries(manifest)
    work.folder.mkdir(parents=True, exist_ok=True)
    staged = work.folder / f".birdbone-{secrets.token_hex(4)}"
    stale = [path for path, entry in new.items() if not is_same_file(work.folder / path, entry)]
    removed = [path for path in old.keys() - new.keys() if (work.folder / path).is_file()]
    try:
        if stale:
            checkout(work.vault, version, staged)
        for path in removed:
            _remove(work.folder, path)
        for path in stale:
            (work.folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged / path, work.folder / path)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    only = work.only if set(new) == {work.only} else None
    _write_state(replace(work, only=only), version, {path: _stamp(work.folder / path) for path in new})
    return len(stale) + len(removed)


def _split(path: Path) -> tuple[Path, str | None]:
    if not path.exists():
        raise UsageError(f"{path} is not there.", hint="Name a folder with a model, or one file.")
    return (path.parent, path.name) if path.is_file() else (path, None)


def _walk(folder: Path, patterns: tuple[str, ...], left_out: list[str]) -> Iterator[tuple[str, Path]]:
    if not folder.is_dir():
        raise UnsupportedFileError(f"{folder} is not a folder.", path=str(folder))
    for where, folders, names in os.walk(folder, onerror=_raise):
        for name in sorted(folders):
            path = (Path(where) / name).relative_to(folder).as_posix()
            if _is_left_out(path, patterns):
                left_out.append(f"{path}/")
                folders.remove(name)
            elif (Path(where) / name).is_symlink():
                raise UnsupportedFileError(f"{Path(where) / name} is a link to a folder.", path=path)
        for name in sorted(names):
            place = Path(where) / name
            path = place.relative_to(folder).as_posix()
            if _is_left_out(path, patterns):
                left_out.append(path)
            elif not place.is_file():
                raise UnsupportedFileError(f"{place} is not a plain file.", path=path)
            else:
                yield path, place


def _is_left_out(path: str, patterns: tuple[str, ...]) -> bool:
    name = path.rpartition("/")[2]
    is_usual = name.startswith(".") or name in _ALWAYS_LEFT_OUT
    return is_usual or any(fnmatch.fnmatchcase(each, pattern) for pattern in patterns for each in (path, name))


def _ignored(folder: Path) -> tuple[str, ...]:
    try:
        lines = (folder / IGNORE_NAME).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(line.strip().rstrip("/") for line in lines if line.strip() and not line.startswith("#"))


def _change(path: str, place: Path | None, entry: Entry | None) -> FileChange | None:
    if place is None:
        return FileChange(path=path, change="gone", size_bytes=None)
    size_bytes = place.stat().st_size
    if entry is None:
        return FileChange(path=path, change="new", size_bytes=size_bytes)
    if entry.layout == "file":
        is_same = is_same_file(place, entry)
        return None if is_same else FileChange(path=path, change="changed", size_bytes=size_bytes)
    is_same, num_tensors = _compare_tensors(place, entry)
    return None if is_same else FileChange(
        path=path, change="changed", size_bytes=size_bytes, num_tensors=num_tensors
    )  # fmt: skip


def _compare_tensors(place: Path, file: TensorFile) -> tuple[bool, int | None]:
    """Return whether a checkpoint is as it was, and how many tensors differ; None if the file cannot be read as one."""
    known = {entry.name: (entry.dtype, entry.shape, entry.digest) for entry in file.tensors}
    with place.open("rb") as stream:
        try:
            layout = read_layout(stream, size_bytes=place.stat().st_size, name=file.path)
        except BadSafetensorsError:
            return False, None

        def digest(begin: int, end: int) -> str:
            return Extent(stream=stream, name=file.path, offset=begin, size_bytes=end - begin).digest()

        start = layout.header_bytes
        found = {
            span.name: (span.dtype, span.shape, digest(start + span.begin, start + span.end)) for span in layout.tensors
        }
        is_same_header = digest(0, start) == file.header
    num_different = sum(known.get(name) != found.get(name) for name in known.keys() | found.keys())
    return is_same_header and not num_different, num_different


def _would_lose(
    work: Work, path: str, old: Mapping[str, Entry], new: Mapping[str, Entry], trusted: Mapping[str, Stamp]
) -> bool:
    place = work.folder / path
    if _is_blocked(work.folder, path, old):
        return path in new
    if not place.exists() and not place.is_symlink():
        return False
    if not place.is_file():
        return path in new
    if path in trusted and trusted[path] == _stamp(place):
        return False
    return not any(path in side and is_same_file(place, side[path]) for side in (old, new))


def _is_blocked(folder: Path, path: str, old: Mapping[str, Entry]) -> bool:
    """Return whether a file stands where a folder of the path has to be, and no version has that file."""
    parts = path.split("/")[:-1]
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return any((folder / part).is_file() and part not in old for part in above)


def _entries(manifest: Manifest | None) -> dict[str, Entry]:
    return {file.path: file for file in manifest.files} if manifest else {}


def _entries_of_state(work: Work) -> dict[str, Entry]:
    return _entries(read_manifest(work.vault, work.state.version)) if work.state else {}


def _trusted(work: Work, name: str | None) -> dict[str, Stamp]:
    """Return what the files were like that need not be read again, if `name` is the version that they came from."""
    if work.state is None or name != work.state.version:
        return {}
    latest = work.state.written_ns - _RACY_NS
    return {path: stamp for path, stamp in work.state.stamps.items() if stamp.modified_ns < latest}


def _stamp(place: Path) -> Stamp:
    status = place.stat()
    return Stamp(size_bytes=status.st_size, modified_ns=status.st_mtime_ns, inode=status.st_ino)


def _remove(folder: Path, path: str) -> None:
    (folder / path).unlink()
    with contextlib.suppress(OSError):  # a folder that is not empty stays
        for parent in (folder / path).parents:
            if parent == folder:
                return
            parent.rmdir()


def _read_state(workspace: Workspace, vault: Vault) -> WorkState | None:
    """Return the state; None where it cannot be read: then every file is, and nothing is overwritten unseen."""
    try:
        state = WorkState.model_validate_json((workspace.folder / "work.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return state if has_object(vault, "versions", state.version) else None


def _write_state(work: Work, version: str, stamps: Mapping[str, Stamp]) -> None:
    root = work.workspace.folder.parent
    inside = work.folder == root or root in work.folder.parents
    state = WorkState(
        folder=work.folder.relative_to(root).as_posix() if inside else str(work.folder),
        only=work.only,
        version=version,
        written_ns=time.time_ns(),
        stamps=dict(stamps),
    )
    write_json(work.workspace.folder / "work.json", state.model_dump(mode="json"))


def _raise(error: OSError) -> None:
    raise error
