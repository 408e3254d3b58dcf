"""The refs of a remote, and how one of several writers wins.

A folder is a store: its refs move under its own lock (`hold_lock`, `swap_ref`), so that its protection, its permissions
and its audit hold for a push as for a commit.

An object store has no lock that a writer who stalls could not outlive. So nothing is ever overwritten there: each state
of all refs is an object of its own, `refs/journal/<number>.json`, made by an exclusive create (if-none-match on S3,
generation 0 on GCS, the like on Azure). Whoever creates number n+1 after reading number n has moved the refs; whoever
finds it there reads again. The numbers are the audit of that remote as well: who moved what, when, from where to where,
each with the digest of the one before. Protection and levels of the refs are not kept there: who may write the bucket
may move its refs. A store that takes a second create of the same object without an error is refused.

Notes need no such order. A note is named by the digest of its line and never changed, and taking one away is a line
more; so two stores' notes of a version are united by uniting lines. In a folder they are appended to its own, under its
lock. In an object store each is an object of its own, `refs/notes/<digits of the version>/<digits of the note>.json`:
two pushes at once write different objects, or the same one twice. In a folder they pass no `Wrap`, as its refs do not.

What the tests prove of this: on folders, with processes that race and are killed, all of it; on `memory://`, with
threads, the journal and its reading, and notes whose pushes race or break off; a driver of S3 is not part of them.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import AwareDatetime, Field, ValidationError, field_validator

from birdbone.core.digest import digest_bytes
from birdbone.core.schema import Strict
from birdbone.vault.errors import (
    BadNameError,
    CorruptObjectError,
    RefConflictError,
    RemoteDamagedError,
    UnsafeRemoteError,
    VaultBusyError,
)
from birdbone.vault.folder import Vault, hold_lock
from birdbone.vault.journal import canonical_line
from birdbone.vault.names import BRANCHES, HEAD, NOTES, Digest, full_ref_name, is_digest
from birdbone.vault.refs.notes import Note, line_of_note, note_ref, parse_note, unite_notes, vouched_notes
from birdbone.vault.refs.permissions import identify
from birdbone.vault.refs.refs import point_head, read_head, read_ref, refs, swap_ref
from birdbone.vault.remotes.transport import Transport

_JOURNAL = "refs/journal"
_PROBE = "refs/probe"
_NUM_REQUESTS = 8
_MAX_TRIES = 64  # each failure means that somebody else moved a ref; so many in a row is a crowd


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRefs:
    """The refs of a remote at one moment: versions by full name, and the branch that it is about (a full name)."""

    refs: dict[str, str]
    head: str = f"{BRANCHES}main"


class RefChange(Strict):
    """One move of a ref: from `old` (None: there was none) to `new`, ids of versions."""

    ref: str
    """Full name."""
    old: Digest | None
    """Where it stood."""
    new: Digest
    """Where it stands."""
    force: bool = False
    """Whether it was to move even if versions are left behind."""


class RefState(Strict):
    """All refs of a remote in an object store after one push."""

    format: Literal["birdbone.remote-refs/1"] = "birdbone.remote-refs/1"
    """Generation of this record."""
    number: int = Field(ge=1)
    """How many states there are up to this one."""
    before: Digest | None
    """Digest of the state before."""
    at: AwareDatetime
    """When."""
    author: str
    """Who pushed."""
    changes: tuple[RefChange, ...]
    """What was moved."""
    head: str
    """The branch that the remote is about."""
    refs: dict[str, Digest]
    """Every ref by full name."""
    nonce: str
    """So that no two writers ever write the same bytes."""

    @field_validator("refs")
    @classmethod
    def _names_are_safe(cls, refs: dict[str, str]) -> dict[str, str]:
        if any(full_ref_name(name) != name for name in refs):
            raise BadNameError("A ref of the remote has no full name.")
        return refs


class RefTable(Protocol):
    """The refs of a remote, and its notes."""

    def read(self) -> RemoteRefs:
        """Return where they stand."""
        ...

    def swap(
        self, changes: Sequence[RefChange], *, head: str, author: str | None, is_complete: Callable[[], bool]
    ) -> bool:
        """Move all refs if each stands where its change says; False, and none moved, if not `is_complete` by then.

        Args:
            head: the branch that the remote is about, if it has no refs yet.

        Raises:
            RefConflictError: one stands elsewhere; none was moved.
        """
        ...

    def note_versions(self) -> dict[str, str]:
        """Return the version of every note and tombstone, by the note's id."""
        ...

    def read_notes(self, ids: Collection[str]) -> list[Note]:
        """Return notes that `note_versions` named.

        Raises:
            RemoteDamagedError: one is not what its name says.
        """
        ...

    def add_notes(self, notes: Sequence[Note], *, author: str | None) -> int:
        """Put notes beside those that are there; return how many were lacking. Others that come meanwhile stay too."""
        ...


@dataclass(frozen=True, slots=True)
class FolderTable:
    """The refs of a store in a folder."""

    vault: Vault

    def read(self) -> RemoteRefs:
        """Return where they stand."""
        return RemoteRefs(refs=refs(self.vault), head=read_head(self.vault))

    def swap(
        self, changes: Sequence[RefChange], *, head: str, author: str | None, is_complete: Callable[[], bool]
    ) -> bool:
        """Move the refs under the lock of the store; see `RefTable`. A crash in between moves the first ones only.

        Raises:
            AccessDeniedError, ProtectedRefError: the identity may not move one of them; those before it moved.
        """
        with hold_lock(self.vault):
            if not is_complete():
                return False
            is_fresh = not refs(self.vault)
            for change in changes:
                _check(change, read_ref(self.vault, change.ref))
            for change in changes:
                swap_ref(
                    self.vault,
                    change.ref,
                    change.new,
                    expected=change.old,
                    reason="push: forced" if change.force else "push",
                    author=author,
                    force=change.force,
                )
            if is_fresh and head != HEAD and read_ref(self.vault, HEAD) is None:
                point_head(self.vault, head, author=author)
        return True

    def note_versions(self) -> dict[str, str]:
        """Return the version of every note; see `RefTable`."""
        return {note.id: note.version for note in self._notes()}

    def read_notes(self, ids: Collection[str]) -> list[Note]:
        """Return notes; see `RefTable`."""
        return [note for note in self._notes() if note.id in ids]

    def add_notes(self, notes: Sequence[Note], *, author: str | None) -> int:
        """Append notes under the lock of the store; see `RefTable`.

        Raises:
            AccessDeniedError: the identity may not write them there, or not remove another's; none was written.
        """
        return len(unite_notes(self.vault, notes, reason="note: push", author=author, checks_removals=True))

    def _notes(self) -> list[Note]:
        try:
            return vouched_notes(self.vault)
        except CorruptObjectError as error:
            raise RemoteDamagedError(f"The notes of the remote are damaged: {error.message}") from error


@dataclass(frozen=True, slots=True)
class JournalTable:
    """The refs of a remote in an object store: the last of its states."""

    transport: Transport

    def read(self) -> RemoteRefs:
        """Return where they stand."""
        state, _ = self._last()
        return RemoteRefs(refs=dict(state.refs), head=state.head) if state else RemoteRefs(refs={})

    def swap(
        self, changes: Sequence[RefChange], *, head: str, author: str | None, is_complete: Callable[[], bool]
    ) -> bool:
        """Create the next state; see `RefTable`. Nobody collects garbage there, so what is complete stays so.

        Raises:
            UnsafeRemoteError: the store does not honour an exclusive create; nothing was moved.
            VaultBusyError: others were faster each time.
        """
        if not is_complete():
            return False
        self._refuse_if_unsafe()
        for _ in range(_MAX_TRIES):
            state, before = self._last()
            for change in changes:
                _check(change, state.refs.get(change.ref) if state else None)
            following = RefState(
                number=state.number + 1 if state else 1,
                before=before,
                at=dt.datetime.now(dt.UTC),
                author=identify(author),
                changes=tuple(changes),
                head=state.head if state else head,
                refs={**(state.refs if state else {}), **{change.ref: change.new for change in changes}},
                nonce=secrets.token_hex(8),
            )
            if self.transport.create(_path_of(following.number), _bytes_of(following)):
                return True
        raise VaultBusyError(f"{_MAX_TRIES} times another writer moved a ref of the remote first.")

    def note_versions(self) -> dict[str, str]:
        """Return the version of every note, by the names of the objects; see `RefTable`."""
        return dict(_note_named(path) for path in self.transport.sizes(NOTES.rstrip("/")))

    def read_notes(self, ids: Collection[str]) -> list[Note]:
        """Return notes, each checked against its name; see `RefTable`."""
        versions = self.note_versions()
        paths = [_path_of_note(note, version) for note, version in versions.items() if note in ids]
        with ThreadPoolExecutor(_NUM_REQUESTS, thread_name_prefix="notes") as pool:
            return list(pool.map(self._read_note, paths))

    def add_notes(self, notes: Sequence[Note], *, author: str | None) -> int:  # noqa: ARG002 - levels are not kept there
        """Write an object for each note that is not there, removals first; see `RefTable`. Who pushed is not kept."""
        there = self.note_versions()
        fresh = [note for note in notes if note.id not in there]
        for note in sorted(fresh, key=lambda note: note.removes is None):  # none is seen that was removed
            self.transport.write(_path_of_note(note.id, note.version), line_of_note(note))
        return len(fresh)

    def _read_note(self, path: str) -> Note:
        line = self.transport.read(path)
        try:
            note = parse_note(line, name=path)
        except CorruptObjectError as error:
            raise RemoteDamagedError(f"The remote is damaged: {error.message}", path=path) from error
        if _path_of_note(note.id, note.version) != path:
            raise RemoteDamagedError(f"{path} of the remote holds another note.", path=path)
        return note

    def _refuse_if_unsafe(self) -> None:
        """Create an object that is there: a store that lets that pass ignores the condition on which all here rests."""
        is_fresh = self.transport.create(_PROBE, secrets.token_bytes(16))
        if is_fresh and self.transport.create(_PROBE, secrets.token_bytes(16)):
            raise UnsafeRemoteError("The remote let an object be created that was there already.")

    def _last(self) -> tuple[RefState | None, str | None]:
        """Return the last state and the digest of its bytes."""
        names = sorted(name for name in self.transport.sizes(_JOURNAL) if name.endswith(".json"))
        if not names:
            return None, None
        content = self.transport.read(names[-1])
        state = _parse(content)
        if state is None or names[-1] != _path_of(state.number):
            raise RemoteDamagedError(f"{names[-1]} of the remote is damaged: its refs were not used.", path=names[-1])
        return state, digest_bytes(content)


def _path_of(number: int) -> str:
    return f"{_JOURNAL}/{number:012d}.json"


def _path_of_note(note: str, version: str) -> str:
    return f"{note_ref(version)}/{note.removeprefix('b3:')}.json"


def _note_named(path: str) -> tuple[str, str]:
    """Return the note and the version that a path names."""
    version, _, name = path.removeprefix(NOTES).partition("/")
    note = f"b3:{name.removesuffix('.json')}"
    if not (is_digest(note) and is_digest(f"b3:{version}")):
        raise RemoteDamagedError(f"{path} of the remote is no note.", path=path)
    return note, f"b3:{version}"


def _bytes_of(state: RefState) -> bytes:
    """Return a state as it is kept: one line of JSON, and a line with the digest of that, since its name has none."""
    line = canonical_line(state.model_dump(mode="json"))
    return line + b"\n" + digest_bytes(line).encode() + b"\n"


def _parse(content: bytes) -> RefState | None:
    line, _, digest = content.partition(b"\n")
    if digest != digest_bytes(line).encode() + b"\n":
        return None
    try:
        return RefState.model_validate_json(line)
    except (ValidationError, BadNameError):
        return None


def _check(change: RefChange, found: str | None) -> None:
    if found != change.old:
        raise RefConflictError(
            f"Meanwhile somebody moved {change.ref} of the remote to {found or 'nothing'}; it was left there.",
            hint="Pull first, merge or commit on top of what is there, then push again.",
            ref=change.ref,
            expected=change.old,
            found=found,
        )
