"""Refs: names that move, one file each; every move is allowed, compared, swapped and written down under the lock.

`HEAD` stands for a branch (`ref: refs/heads/main`), which then moves in its place, or, detached, for a version itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType

from birdbone.core.files import write_atomically
from birdbone.vault.errors import (
    BadNameError,
    CorruptObjectError,
    MissingObjectError,
    RefConflictError,
    TagExistsError,
    UnknownNameError,
)
from birdbone.vault.folder import Vault, explain_write_errors, hold_lock, sync_folder
from birdbone.vault.names import BRANCHES, HEAD, REMOTES, TAGS, full_ref_name, is_digest
from birdbone.vault.refs.audit_log import AuditEntry, append_entry, read_entries
from birdbone.vault.refs.permissions import check_level, check_move, identify, read_settings
from birdbone.vault.store.objects import has_object

Expected = str | None | EllipsisType
"""What a ref must point at for a move to happen: a version id, `None` for "no such ref yet", `...` for anything."""

_SYMBOLIC = "ref: "
_SWITCH = "switch: "


@dataclass(frozen=True, slots=True, kw_only=True)
class RefMove:
    """One move in the reflog. `old` is None where the ref was made, `new` where it was deleted."""

    at: str
    ref: str
    old: str | None
    new: str | None
    author: str
    reason: str


def refs(vault: Vault) -> dict[str, str]:
    """Return every branch and tag by its full name, with the version that it points at."""
    return _refs_in(vault, "heads", "tags")


def tracking_refs(vault: Vault) -> dict[str, str]:
    """Return where the branches of remotes were last seen, by full name (`refs/remotes/<remote>/<branch>`)."""
    return _refs_in(vault, "remotes")


def _refs_in(vault: Vault, *folders: str) -> dict[str, str]:
    found = {}
    for path in sorted(path for folder in folders for path in (vault.refs / folder).rglob("*")):
        name = f"refs/{path.relative_to(vault.refs).as_posix()}"
        if not path.name.startswith(".") and path.is_file() and (version := read_ref(vault, name)):
            found[name] = version
    return found


def read_ref(vault: Vault, ref: str) -> str | None:
    """Return the version that `ref` (short, full or `HEAD`) points at, or None if there is no such ref.

    Raises:
        CorruptObjectError: the ref's file does not hold a version id.
    """
    content = _read_head_file(vault) if ref == HEAD else ""
    if is_digest(content):
        return content
    full = _branch_in(content) if ref == HEAD else full_ref_name(ref)
    try:
        content = _read_text(_path_of_ref(vault, full))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    if not is_digest(content):
        raise CorruptObjectError(f"{full} holds {content[:80]!r}, not a version.", hint=_HINT_REF, ref=full)
    return content


def ref_target(vault: Vault, ref: str) -> str:
    """Return the full name of what moves when `ref` is told to: for `HEAD` its branch, or, detached, itself."""
    return read_head(vault) if ref == HEAD else full_ref_name(ref)


def read_head(vault: Vault) -> str:
    """Return the full name of the branch that `HEAD` stands for, which need not exist yet; `HEAD` if it is detached.

    Raises:
        CorruptObjectError: the file holds neither a branch nor a version.
    """
    content = _read_head_file(vault)
    return HEAD if is_digest(content) else _branch_in(content)


def set_head(vault: Vault, ref: str, *, author: str | None = None) -> None:
    """Let `HEAD` stand for the branch `ref`, or, if that is the id of a version, for the version itself (detached).

    Raises:
        MissingObjectError: the store has no such version.
        AccessDeniedError: the identity may not read the branch.
    """
    with hold_lock(vault):
        point_head(vault, ref, author=author)


def point_head(vault: Vault, ref: str, *, author: str | None) -> None:
    """Do the work of `set_head` for a caller that holds the lock."""
    old, author = _read_head_file(vault), identify(author)
    if is_digest(ref):
        _check_exists(vault, HEAD, ref)
        new = ref
    else:
        new = _SYMBOLIC + full_ref_name(ref)
        check_level(read_settings(vault), full_ref_name(ref), needs="read", identity=author)
    if new != old:
        append_entry(vault, ref=HEAD, old=old, new=new, author=author, reason=f"{_SWITCH}to {ref}")
        _write_text(vault.refs / HEAD, f"{new}\n")


def move_ref(
    vault: Vault,
    ref: str,
    version: str,
    *,
    expected: Expected = ...,
    reason: str = "move",
    author: str | None = None,
    force: bool = False,
) -> None:
    """Let `ref` point at `version` (an id), if it now points at `expected`. This is also how a step is undone.

    Args:
        author: the identity that acts and whose level is checked; see `permissions.identify`.
        force: move a tag, or a protected branch to what does not follow it.

    Raises:
        RefConflictError: it points elsewhere; it stays there.
        MissingObjectError: the store has no such version.
        TagExistsError: it is a tag that stands for another version.
        AccessDeniedError, ProtectedRefError: the identity may not move it so.
    """
    with hold_lock(vault):
        full = ref_target(vault, ref)
        swap_ref(vault, full, version, expected=expected, reason=reason, author=author, force=force)


def delete_ref(
    vault: Vault,
    ref: str,
    *,
    expected: Expected = ...,
    reason: str = "delete",
    author: str | None = None,
    force: bool = False,
) -> None:
    """Take `ref` away, if it now points at `expected`. Its versions stay until garbage is collected.

    Raises:
        UnknownNameError: there is no such ref.
        RefConflictError: it points elsewhere.
        AccessDeniedError, ProtectedRefError: the identity may not delete it so.
    """
    with hold_lock(vault):
        drop_ref(vault, ref_target(vault, ref), expected=expected, reason=reason, author=author, force=force)


def drop_ref(
    vault: Vault, full: str, *, expected: Expected, reason: str, author: str | None = None, force: bool = False
) -> None:
    """Do the work of `delete_ref` for a caller that holds the lock and gives the full name."""
    old = None if full == HEAD else read_ref(vault, full)
    if old is None:
        raise UnknownNameError(f"There is no ref {full}.", name=full)
    _check_expected(full, old, expected=expected)
    author = identify(author)
    check_move(vault, full, old=old, new=None, identity=author, force=force)
    append_entry(vault, ref=full, old=old, new=None, author=author, reason=reason)
    path = _path_of_ref(vault, full)
    with explain_write_errors(path):
        path.unlink()
        sync_folder(path.parent)
    _remove_empty_parents(path, below=vault.refs / full.split("/")[1])


def swap_ref(
    vault: Vault,
    full: str,
    version: str,
    *,
    expected: Expected,
    reason: str,
    author: str | None = None,
    force: bool = False,
) -> None:
    """Do the work of `move_ref` for a caller that holds the lock and gives the full name."""
    old = read_ref(vault, full)
    _check_expected(full, old, expected=expected)
    _check_exists(vault, full, version)
    if old == version:
        return
    _check_no_folder_clash(vault, full)
    if full.startswith(TAGS) and old and not force:
        raise TagExistsError(f"{full} stands for {old} already.", ref=full, found=old)
    author = identify(author)
    check_move(vault, full, old=old, new=version, identity=author, force=force)
    append_entry(vault, ref=full, old=old, new=version, author=author, reason=reason)
    _write_text(_path_of_ref(vault, full), f"{version}\n")


def read_reflog(vault: Vault, ref: str | None = None) -> list[RefMove]:
    """Return every move of `ref` (of all branches, tags and a detached `HEAD` if none is given), oldest first.

    A move is written down before it happens; one that a crash or a full disk cut off is left out. The log of `HEAD` has
    the moves of whatever branch it stood for, and a switch as a move from version to version.
    """
    entries = _moves_made(vault)
    if ref == HEAD:
        return list(_moves_of_head(entries))
    full = None if ref is None else full_ref_name(ref)
    return [
        RefMove(**entry.model_dump(include=_MOVE_FIELDS))
        for entry in entries
        if full in (None, entry.ref) and is_version(entry.old) and is_version(entry.new)
    ]


def read_ref_before(vault: Vault, ref: str, num_moves: int) -> str | None:
    """Return where `ref` stood `num_moves` moves ago; None if it did not exist then or the log is shorter."""
    if num_moves == 0:
        return read_ref(vault, ref)
    moves = read_reflog(vault, ref)
    return moves[-num_moves].old if num_moves <= len(moves) else None


def read_head_before(vault: Vault, num_switches: int) -> str | None:
    """Return the branch (full name) or version that `HEAD` stood for so many switches ago; None if unknown."""
    switches = [entry for entry in _moves_made(vault) if entry.ref == HEAD and entry.reason.startswith(_SWITCH)]
    if not 1 <= num_switches <= len(switches):
        return None
    return (switches[-num_switches].old or "").removeprefix(_SYMBOLIC)


def is_version(value: str | None) -> bool:
    """Return whether what an entry of the audit holds is a version or nothing, and not a branch."""
    return value is None or is_digest(value)


def read_present(vault: Vault) -> dict[str, str]:
    """Return what is in the file of every ref and of `HEAD`, by full name, whether it makes sense or not."""
    found = {HEAD: _read_head_file(vault)}
    for path in (path for folder in ("heads", "tags", "remotes") for path in (vault.refs / folder).rglob("*")):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # moved or deleted meanwhile
            if not path.name.startswith("."):
                found[f"refs/{path.relative_to(vault.refs).as_posix()}"] = _read_text(path)
    return found


_MOVE_FIELDS = {"at", "ref", "old", "new", "author", "reason"}


def _moves_made(vault: Vault) -> list[AuditEntry]:
    """Return the entries of refs and `HEAD` whose move happened: those after which the ref was found where they led."""
    present = read_present(vault)  # before the log: a move made in between then counts as not yet made
    kept: list[AuditEntry] = []
    after: dict[str, str | None] = {}
    for entry in reversed(read_entries(vault)):
        if entry.ref != HEAD and not entry.ref.startswith((BRANCHES, TAGS, REMOTES)):
            continue
        if entry.ref not in after:
            value = present.get(entry.ref)
            is_damaged = value is not None and entry.ref != HEAD and not is_digest(value)
            after[entry.ref] = entry.new if is_damaged else value
        if after[entry.ref] == entry.new:
            kept.append(entry)
        after[entry.ref] = entry.old
    return kept[::-1]


def _moves_of_head(entries: Iterable[AuditEntry]) -> Iterator[RefMove]:
    held: dict[str, str | None] = {}
    stands_for, version = f"{BRANCHES}main", None
    for entry in entries:
        held[entry.ref] = entry.new
        if entry.ref == HEAD:
            stands_for = HEAD if is_version(entry.new) else (entry.new or "").removeprefix(_SYMBOLIC)
        if entry.ref in (HEAD, stands_for):
            old, version = version, held.get(stands_for)
            yield RefMove(at=entry.at, ref=HEAD, old=old, new=version, author=entry.author, reason=entry.reason)


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
    for other in (*refs(vault), *tracking_refs(vault)):
        if other.startswith(f"{full}/") or full.startswith(f"{other}/"):
            raise BadNameError(f"{full} cannot stand beside {other}: one would be a folder of the other.", name=full)


def _check_exists(vault: Vault, full: str, version: str) -> None:
    if not has_object(vault, "versions", version):
        raise MissingObjectError(f"{full} cannot point at {version}: the store has no such version.", digest=version)


def _read_text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace").removesuffix("\n")


def _read_head_file(vault: Vault) -> str:
    try:
        return _read_text(vault.refs / HEAD)
    except FileNotFoundError:
        return ""


def _branch_in(content: str) -> str:
    branch = content.removeprefix("ref: ")
    try:
        return full_ref_name(branch)
    except BadNameError as error:
        raise CorruptObjectError(
            f"HEAD holds {content[:80]!r}, no branch and no version.", hint="Switch to a branch.", ref=HEAD
        ) from error


def _path_of_ref(vault: Vault, full: str) -> Path:
    return vault.refs / HEAD if full == HEAD else vault.folder / full


def _write_text(path: Path, text: str) -> None:
    with explain_write_errors(path), write_atomically(path) as stream:
        stream.write(text.encode())


def _remove_empty_parents(path: Path, *, below: Path) -> None:
    with contextlib.suppress(OSError):  # a folder that is not empty stays
        for parent in path.parents:
            if parent == below:
                return
            parent.rmdir()
