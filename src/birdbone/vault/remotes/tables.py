"""The refs of a remote, and how one of several writers wins.

A folder is a store: its refs move under its own lock (`hold_lock`, `swap_ref`), so that its protection, its permissions
and its audit hold for a push as for a commit.

An object store has no lock that a writer who stalls could not outlive. So nothing is ever overwritten there: each state
of all refs is an object of its own, `refs/journal/<number>.json`, made by an exclusive create (if-none-match on S3,
generation 0 on GCS, the like on Azure). Whoever creates number n+1 after reading number n has moved the refs; whoever
finds it there reads again. The numbers are the audit of that remote as well: who moved what, when, from where to where,
each with the digest of the one before. Protection and levels of the refs are not kept there: who may write the bucket
may move its refs. A store that takes a second create of the same object without an error is refused.

What the tests prove of this: on folders, with processes that race and are killed, all of it; on `memory://`, with
threads, the journal and its reading; a driver of S3 is not part of them.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import AwareDatetime, Field, ValidationError, field_validator

from birdbone.core.digest import digest_bytes
from birdbone.core.schema import Strict
from birdbone.vault.errors import BadNameError, RefConflictError, RemoteDamagedError, UnsafeRemoteError, VaultBusyError
from birdbone.vault.folder import Vault, hold_lock
from birdbone.vault.journal import canonical_line
from birdbone.vault.names import BRANCHES, HEAD, Digest, full_ref_name
from birdbone.vault.refs.permissions import identify
from birdbone.vault.refs.refs import point_head, read_head, read_ref, refs, swap_ref
from birdbone.vault.remotes.transport import Transport

_JOURNAL = "refs/journal"
_PROBE = "refs/probe"
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
    """The refs of a remote."""

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
