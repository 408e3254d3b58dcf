"""Refs: names that move, one file each; every move is compared, swapped and written down under the lock."""

from __future__ import annotations

import contextlib
import datetime as dt
import getpass
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

from birdbone.core.files import write_atomically
from birdbone.vault.errors import (
    BadNameError,
    CorruptObjectError,
    MissingObjectError,
    RefConflictError,
    UnknownNameError,
)
from birdbone.vault.folder import Vault, explain_write_errors, hold_lock, sync_folder
from birdbone.vault.names import HEAD, full_ref_name, is_digest
from birdbone.vault.objects import has_object

Expected = str | None | EllipsisType
"""What a ref must point at for a move to happen: a version id, `None` for "no such ref yet", `...` for anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefMove:
    """One line of the reflog. `old` is None where the ref was made, `new` where it was deleted."""

    at: str
    ref: str
    old: str | None
    new: str | None
    author: str
    reason: str


def refs(vault: Vault) -> dict[str, str]:
    """Return every ref by its full name, with the version that it points at."""
    found = {}
    for path in sorted((*(vault.refs / "heads").rglob("*"), *(vault.refs / "tags").rglob("*"))):
        name = f"refs/{path.relative_to(vault.refs).as_posix()}"
        if not path.name.startswith(".") and path.is_file() and (version := read_ref(vault, name)):
            found[name] = version
    return found


def read_ref(vault: Vault, ref: str) -> str | None:
    """Return the version that `ref` (short, full or `HEAD`) points at, or None if there is no such ref.

    Raises:
        CorruptObjectError: the ref's file does not hold a version id.
    """
    full = ref_target(vault, ref)
    try:
        content = _path_of_ref(vault, full).read_bytes().decode("utf-8", "replace").strip()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    if not is_digest(content):
        raise CorruptObjectError(f"{full} holds {content[:80]!r}, not a version.", hint=_HINT_REF, ref=full)
    return content


def ref_target(vault: Vault, ref: str) -> str:
    """Return the full name that `ref` stands for; `HEAD` stands for the branch it names."""
    return read_head(vault) if ref == HEAD else full_ref_name(ref)


def read_head(vault: Vault) -> str:
    """Return the full name of the branch that `HEAD` stands for; it need not exist yet."""
    return full_ref_name((vault.refs / "HEAD").read_text(encoding="utf-8").removeprefix("ref:").strip())


def set_head(vault: Vault, ref: str) -> None:
    """Let `HEAD` stand for another branch."""
    full = full_ref_name(ref)
    with hold_lock(vault):
        _write_text(vault.refs / "HEAD", f"ref: {full}\n")


def move_ref(
    vault: Vault, ref: str, version: str, *, expected: Expected = ..., reason: str = "move", author: str | None = None
) -> None:
    """Let `ref` point at `version` (an id), if it now points at `expected`. This is also how a step is undone.

    Raises:
        RefConflictError: it points elsewhere; it stays there.
        MissingObjectError: the store has no such version.
    """
    full = ref_target(vault, ref)
    with hold_lock(vault):
        swap_ref(vault, full, version, expected=expected, reason=reason, author=author)


def delete_ref(
    vault: Vault, ref: str, *, expected: Expected = ..., reason: str = "delete", author: str | None = None
) -> None:
    """Take `ref` away, if it now points at `expected`. Its versions stay until garbage is collected.

    Raises:
        UnknownNameError: there is no such ref.
        RefConflictError: it points elsewhere.
    """
    full = ref_target(vault, ref)
    with hold_lock(vault), explain_write_errors(vault.refs):
        old = read_ref(vault, full)
        if old is None:
            raise UnknownNameError(f"There is no ref {full}.", name=full)
        _check_expected(full, old, expected=expected)
        _append_move(vault, _new_move(full, old=old, new=None, reason=reason, author=author))
        path = _path_of_ref(vault, full)
        path.unlink()
        sync_folder(path.parent)
        _remove_empty_parents(path, below=vault.refs / full.split("/")[1])


def swap_ref(
    vault: Vault, full: str, version: str, *, expected: Expected, reason: str, author: str | None = None
) -> None:
    """Do the work of `move_ref` for a caller that holds the lock and gives the full name."""
    old = read_ref(vault, full)
    _check_expected(full, old, expected=expected)
    if not has_object(vault, "versions", version):
        raise MissingObjectError(f"{full} cannot point at {version}: the store has no such version.", digest=version)
    if old == version:
        return
    _check_no_folder_clash(vault, full)
    _append_move(vault, _new_move(full, old=old, new=version, reason=reason, author=author))
    _write_text(_path_of_ref(vault, full), f"{version}\n")


def read_reflog(vault: Vault, ref: str | None = None) -> list[RefMove]:
    """Return every move of `ref` (of all refs if none is given), oldest first.

    A move is written down before it happens: an entry whose `new` is not the next entry's `old` was cut off by a crash.
    """
    full = None if ref is None else ref_target(vault, ref)
    return [move for move in _parse_reflog(vault) if full in (None, move.ref)]


def default_author() -> str:
    """Return `BIRDBONE_AUTHOR`, else the name of the account, else `unknown`."""
    with contextlib.suppress(OSError, KeyError):
        return os.environ.get("BIRDBONE_AUTHOR") or getpass.getuser()
    return "unknown"


_HINT_REF = "Its earlier values are in refs/reflog.jsonl; move the ref back to the last of them."


def _check_expected(full: str, old: str | None, *, expected: Expected) -> None:
    if expected is not ... and old != expected:
        raise RefConflictError(
            f"{full} points at {old or 'nothing'}, not at {expected or 'nothing'} as expected.",
            ref=full,
            expected=expected,
            found=old,
        )


def _check_no_folder_clash(vault: Vault, full: str) -> None:
    for other in refs(vault):
        if other.startswith(f"{full}/") or full.startswith(f"{other}/"):
            raise BadNameError(f"{full} cannot stand beside {other}: one would be a folder of the other.", name=full)


def _new_move(full: str, *, old: str | None, new: str | None, reason: str, author: str | None) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC).isoformat()
    return {"at": now, "ref": full, "old": old, "new": new, "author": author or default_author(), "reason": reason}


def _append_move(vault: Vault, move: dict[str, Any]) -> None:
    with explain_write_errors(vault.reflog), vault.reflog.open("a+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        if size:
            stream.seek(size - 1)
        is_torn = bool(size) and stream.read(1) != b"\n"
        stream.write(b"\n" * is_torn + json.dumps(move, ensure_ascii=True).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _parse_reflog(vault: Vault) -> Iterator[RefMove]:
    if not vault.reflog.exists():
        return
    for line in vault.reflog.read_bytes().splitlines():
        with contextlib.suppress(ValueError, TypeError):  # a line that a crash tore
            yield RefMove(**json.loads(line))


def _path_of_ref(vault: Vault, full: str) -> Path:
    return vault.folder / full


def _write_text(path: Path, text: str) -> None:
    with explain_write_errors(path), write_atomically(path) as stream:
        stream.write(text.encode())


def _remove_empty_parents(path: Path, *, below: Path) -> None:
    with contextlib.suppress(OSError):  # a folder that is not empty stays
        for parent in path.parents:
            if parent == below:
                return
            parent.rmdir()
