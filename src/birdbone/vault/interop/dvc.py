"""Reads a file or folder that DVC tracks, from DVC's own cache, and checks it, which DVC does not do.

`x.dvc` holds the MD5 of `x`; of a folder it is the MD5 (ending in `.dir`) of a JSON list of paths with their MD5.
DVC 3 keeps an object at `files/md5/ab/cdef…` in its cache, DVC 2 at `ab/cdef…`.
Source: files that DVC 3.67 wrote; `dvc.output` and `dvc_data.hashfile` of it for the older form.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from birdbone.core.errors import YamlError
from birdbone.core.yaml12 import read_yaml
from birdbone.vault.errors import BadSourceError, IncompleteSourceError, SourceMismatchError
from birdbone.vault.interop.source import HashName, Reading, SourceFile, safe_path, walk_files

_MD5 = re.compile(r"[0-9a-f]{32}")
_TRACKED = re.compile(r"[0-9a-f]{32}(\.dir)?")
_HINT = (
    "DVC hands such bytes out without a word. Delete the object from DVC's cache, then `dvc pull`; "
    "if you changed the file yourself, `dvc add` it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """What a `.dvc` file says: a path and its digest."""

    path: str
    md5: str
    is_old: bool
    """Whether DVC 2 wrote it."""
    size_bytes: int | None

    @property
    def algorithm(self) -> HashName:
        return "md5-dos2unix" if self.is_old else "md5"


def dvc_file_of(source: Path) -> Path | None:
    """Return the `.dvc` file that `source` is, or that stands beside it; None if there is none."""
    beside = source if source.suffix == ".dvc" else source.with_name(f"{source.name}.dvc")
    return beside if source.name and beside.is_file() else None


def read_dvc(source: Path) -> Reading:
    """Return the files that DVC tracks: from its cache for `x.dvc`, as they lie there for `x` that is checked out.

    Raises:
        BadSourceError: the `.dvc` file or the list of a folder is malformed, or names a path outside of it.
        IncompleteSourceError: an object is not in the cache.
        SourceMismatchError: the list of a folder does not match its MD5, or a working copy has other files than it.
    """
    file = dvc_file_of(source)
    assert file is not None, "the caller asked dvc_file_of"
    output = _read_output(file)
    cache, is_checked_out = _cache_of(file), source != file and source.exists()
    if output.md5.endswith(".dir"):
        files = tuple(_read_folder(output, cache, file=file, working_copy=source if is_checked_out else None))
    else:
        size = output.size_bytes
        lies_at = source if is_checked_out else _find(output.md5, cache, output=output, what=output.path)
        name = safe_path(PurePosixPath(output.path).name, named_by=file.name)
        files = (_source_file(name, lies_at, md5=output.md5, output=output, size_bytes=size),)
    return Reading(source="dvc", files=files, hint=_HINT, revision=output.md5)


def _read_output(file: Path) -> _Output:
    try:
        outs = read_yaml(file.read_text(encoding="utf-8"), name=file.name)["outs"]
        (out,) = outs
        output = _Output(
            path=str(out["path"]), md5=out["md5"], is_old="hash" not in out, size_bytes=_size(out.get("size"))
        )
        is_known = _TRACKED.fullmatch(output.md5) is not None and out.get("hash", "md5") == "md5"
    except (YamlError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad_file(file, repr(error)) from error
    if not is_known:
        raise _bad_file(file, f"its digest is {output.md5!r}")
    return output


def _size(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _bad_file(file: Path, why: str) -> BadSourceError:
    return BadSourceError(
        f"{file.name} does not track one output by its MD5: {why}.",
        hint="Import needs a `.dvc` file as `dvc add` writes it. Outputs of a stage: name the file itself.",
        path=str(file),
    )


def _cache_of(file: Path) -> Path:
    """Return where DVC's cache lies: as the local configuration says, else the shared one, else in `.dvc`."""
    for parent in file.resolve().parents:
        root = parent / ".dvc"
        if root.is_dir():
            said = (_configured_cache(root, name) for name in ("config.local", "config"))
            return next((path for path in said if path is not None), root / "cache")
    raise IncompleteSourceError(
        f"{file.name} lies in no DVC repository: no folder above it has a `.dvc`.",
        hint="Import it from where it was cloned to.",
        path=str(file),
    )


def _configured_cache(root: Path, name: str) -> Path | None:
    config = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        config.read(root / name, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise BadSourceError(f".dvc/{name} is not understood: {error}", path=str(root / name)) from error
    folder = config.get("cache", "dir", fallback=None)
    return None if folder is None else root / folder.strip("\"'")


def _find(md5: str, cache: Path, *, output: _Output, what: str) -> Path:
    layouts = ("", "files/md5") if output.is_old else ("files/md5",)
    places = [cache / layout / md5[:2] / md5[2:] for layout in layouts]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise IncompleteSourceError(
            f"DVC's cache does not have {what} ({md5}).", hint="Run `dvc pull` in that repository.", digest=md5
        )
    return found


def _read_folder(output: _Output, cache: Path, *, file: Path, working_copy: Path | None) -> Iterator[SourceFile]:
    listed = _read_list(_find(output.md5, cache, output=output, what=f"the list of {output.path}"), output=output)
    if working_copy is not None:
        _check_same_files(set(listed), {path for path, _ in walk_files(working_copy)}, file=file)
    for path, md5 in sorted(listed.items()):
        lies_at = working_copy / path if working_copy else _find(md5, cache, output=output, what=path)
        yield _source_file(path, lies_at, md5=md5, output=output)


def _read_list(place: Path, *, output: _Output) -> dict[str, str]:
    raw = place.read_bytes()
    found = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if f"{found}.dir" != output.md5:
        raise SourceMismatchError(
            f"The list of {output.path} in DVC's cache is damaged: its MD5 is {found}, not {output.md5[:32]}.",
            hint=_HINT,
            path=str(place),
        )
    try:
        entries = [(safe_path(entry["relpath"], named_by=place.name), entry["md5"]) for entry in json.loads(raw)]
        is_sound = all(_MD5.fullmatch(md5) for _, md5 in entries) and len(dict(entries)) == len(entries)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadSourceError(f"The list of {output.path} is not understood: {error!r}.", path=str(place)) from error
    if not is_sound:
        raise BadSourceError(f"The list of {output.path} has a path twice or an MD5 that is none.", path=str(place))
    return dict(entries)


def _check_same_files(listed: set[str], found: set[str], *, file: Path) -> None:
    if listed != found:
        first = min(listed ^ found)
        raise SourceMismatchError(
            f"The folder has other files than {file.name} lists: {first} is {'missing' if first in listed else 'new'}.",
            hint=f"`dvc checkout` brings back what was tracked, `dvc add` tracks what is there; "
            f"or import {file.name} itself, from DVC's cache.",
            path=first,
        )


def _source_file(path: str, lies_at: Path, *, md5: str, output: _Output, size_bytes: int | None = None) -> SourceFile:
    return SourceFile(path=path, lies_at=lies_at, algorithm=output.algorithm, digest=md5, size_bytes=size_bytes)
