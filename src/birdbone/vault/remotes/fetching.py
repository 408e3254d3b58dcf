"""Fetch, pull and clone: what a store lacks comes from a remote, each object checked against its digest.

Versions come parents first, each after its manifest, that after its blobs; so a version that is there has all that it
needs, and whatever breaks a fetch off, the next one goes on behind what was kept. Then refs move, and notes are united.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from birdbone.core.digest import digest_bytes
from birdbone.core.files import write_atomically
from birdbone.core.schema import Strict
from birdbone.vault.ancestry import comes_before, walk_ancestors
from birdbone.vault.errors import (
    BadNameError,
    CorruptObjectError,
    DestinationNotEmptyError,
    DivergedError,
    MissingObjectError,
    NotABranchError,
    RemoteDamagedError,
    UnknownNameError,
    UnknownRemoteError,
    VaultBusyError,
)
from birdbone.vault.folder import RECORD_KINDS, ObjectKind, Vault, explain_write_errors, hold_lock, open_vault
from birdbone.vault.history.commits import count_ahead_behind
from birdbone.vault.names import BRANCHES, HEAD, REMOTES, TAGS, full_ref_name
from birdbone.vault.records import Manifest, Version
from birdbone.vault.refs.notes import Note, list_notes, unite_notes
from birdbone.vault.refs.refs import drop_ref, move_ref, read_head, read_ref, refs, set_head, swap_ref, tracking_refs
from birdbone.vault.remotes.catalogue import Catalogue, Holdings, check_has, local_holdings
from birdbone.vault.remotes.pushing import record_path
from birdbone.vault.remotes.remote import Remote, check_is_there, open_remote
from birdbone.vault.remotes.settings import add_remote, check_url, list_remotes
from birdbone.vault.remotes.tables import RemoteRefs
from birdbone.vault.remotes.transfer import Progress, Report, plan_transfer, receive_blobs, with_chunks
from birdbone.vault.remotes.transport import Wrap, unsealed
from birdbone.vault.roots import root_versions
from birdbone.vault.store.objects import has_object, is_intact, path_of, put_record, read_object
from birdbone.vault.store.packs import Packs

ORIGIN = "origin"
"""What a clone calls the remote that it was made from."""

_GROUP = 64  # versions whose manifests are in memory at once
_MAX_ROUNDS = 3
_NUM_REQUESTS = 8

_Record = TypeVar("_Record", bound=Strict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What a fetch brought. `moved` are refs of this store by full name; `kept_tags` stand elsewhere on the remote."""

    remote: RemoteRefs
    moved: dict[str, str]
    kept_tags: tuple[str, ...]
    num_blobs: int
    num_records: int
    size_bytes: int
    num_notes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PullReport:
    """What a pull did: the branch (full name), where it stood and stands, and what was fetched."""

    ref: str
    old: str | None
    new: str
    fetched: FetchReport


def fetch(
    vault: Vault,
    remote: str = ORIGIN,
    *,
    prune: bool = False,
    author: str | None = None,
    progress: Report | None = None,
    wrap: Wrap = unsealed,
) -> FetchReport:
    """Return what was brought from a remote: its branches stand under `refs/remotes/<remote>/` then, its tags as tags.

    A tag that stands for another version here stays. Notes on versions that are here then are united with those of this
    store, removals too: none is lost on either side.

    Args:
        remote: its name.
        prune: forget branches that the remote has no more.

    Raises:
        UnknownRemoteError: no remote has this name, or nothing lies there.
        RemoteDamagedError: something on it is damaged; what is good was kept, no ref moved.
        RemoteError: it failed half-way; what had come whole was kept.
        AccessDeniedError: this store does not let the identity do it; where it is about notes, the refs have moved.
    """
    opened = open_remote(vault, remote, wrap=wrap)
    if opened.name is None:
        raise UnknownRemoteError("Only a remote with a name has branches here.", hint="Add it first.")
    found = opened.table.read()
    download = _Download(vault=vault, remote=opened, progress=Progress(progress))
    for _ in range(_MAX_ROUNDS):
        download.bring(found.refs.values())
        notes = _read_notes(vault, opened)  # a damaged one is found before a ref moves
        with hold_lock(vault):
            if not download.is_complete():
                continue
            moved, kept = _move_refs(vault, opened.name, found, prune=prune, author=author)
        united = unite_notes(vault, notes, reason=f"note: fetch: {opened.name}", author=author)
        return replace(download.report(found, moved, kept), num_notes=len(united))
    raise VaultBusyError("What was fetched was collected as garbage before its refs moved.")


def fetch_objects(
    vault: Vault,
    remote: str,
    digests: Iterable[str],
    *,
    progress: Report | None = None,
    wrap: Wrap = unsealed,
) -> list[str]:
    """Return those of the objects that this store lacked, after they were fetched, whatever their kind.

    A blob comes with what it is a change of; a version or a manifest comes alone.

    Raises:
        MissingObjectError: the remote has no such object.
        RemoteDamagedError: it is damaged there.
    """
    opened = open_remote(vault, remote, wrap=wrap)
    lacking = [d for d in dict.fromkeys(digests) if not any(has_object(vault, kind, d) for kind in _ALL_KINDS)]
    catalogue = opened.catalogue()
    blobs = [digest for digest in lacking if catalogue.holdings.forms(digest)]
    for digest in lacking:
        if digest not in blobs:
            kind, content = fetch_record(opened, digest)
            store_record(vault, kind, content)
    download = _Download(vault=vault, remote=opened, progress=Progress(progress))
    download.bring_blobs(blobs)
    return lacking


def pull(
    vault: Vault,
    remote: str = ORIGIN,
    *,
    author: str | None = None,
    progress: Report | None = None,
    wrap: Wrap = unsealed,
) -> PullReport:
    """Return what was fetched, and where the branch that `HEAD` stands for stands after it followed the remote's.

    A branch that is ahead of the remote's stays; so does one that diverged, and that is an error: merging is another
    act, of `refs/remotes/<remote>/<branch>`.

    Raises:
        DivergedError: both sides have versions that the other lacks; all was fetched.
        UnknownNameError: the remote has no branch of this name; all was fetched.
        NotABranchError: `HEAD` is detached.
        RemoteError, RemoteDamagedError, UnknownRemoteError: as `fetch`.
    """
    ref = read_head(vault)
    if ref == HEAD:
        raise NotABranchError("HEAD is detached.", hint="Switch to a branch, then pull.")
    fetched = fetch(vault, remote, author=author, progress=progress, wrap=wrap)
    theirs, ours = fetched.remote.refs.get(ref), read_ref(vault, ref)
    if theirs is None:
        raise UnknownNameError(f"{remote} has no branch {ref.removeprefix(BRANCHES)!r}.", name=ref)
    if ours is None or comes_before(vault, ours, theirs):
        move_ref(vault, ref, theirs, expected=ours, reason=f"pull: {remote}", author=author)
        return PullReport(ref=ref, old=ours, new=theirs, fetched=fetched)
    if comes_before(vault, theirs, ours):
        return PullReport(ref=ref, old=ours, new=ours, fetched=fetched)
    ahead, behind = count_ahead_behind(vault, ours, theirs)
    raise DivergedError(
        f"{ref} has {ahead} versions that {remote} lacks, and {remote} has {behind} that it lacks.",
        hint=f"Merge {remote}/{ref.removeprefix(BRANCHES)}, or commit on top of it; then push.",
        ref=ref,
        ours=ours,
        theirs=theirs,
        ahead=ahead,
        behind=behind,
    )


def clone(
    url: str,
    folder: Path,
    *,
    author: str | None = None,
    progress: Report | None = None,
    wrap: Wrap = unsealed,
) -> Vault:
    """Return a store in `folder` with all that the remote's refs reach, its branch, and the remote as `origin`.

    A clone that was broken off goes on when it is made again.

    Raises:
        DestinationNotEmptyError: something else is in `folder`.
        UnknownRemoteError: nothing lies at the URL.
        RemoteError, RemoteDamagedError: as `fetch`; what had come is kept, and the clone can be made again.
    """
    url = check_url(url)
    is_fresh = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_fresh and not _is_broken_off(folder, url):
        raise DestinationNotEmptyError(f"{folder} is there already.", path=str(folder))
    check_is_there(url, wrap=wrap)
    vault = open_vault(folder)
    add_remote(vault, ORIGIN, url)
    found = fetch(vault, author=author, progress=progress, wrap=wrap).remote
    if found.head.startswith(BRANCHES):
        set_head(vault, found.head, author=author)
        if (tip := found.refs.get(found.head)) is not None:
            move_ref(vault, found.head, tip, expected=None, reason=f"clone: {url}", author=author)
    return vault


def fetch_record(remote: Remote, digest: str, kinds: Sequence[ObjectKind] = RECORD_KINDS) -> tuple[ObjectKind, bytes]:
    """Return the kind and the bytes of a record on a remote, checked.

    Raises:
        MissingObjectError: the remote has no record of this digest.
        RemoteDamagedError: its bytes have another digest.
    """
    for kind in kinds:
        with contextlib.suppress(FileNotFoundError):
            content = remote.transport.read(record_path(kind, digest))
            if digest_bytes(content) != digest:
                raise RemoteDamagedError(f"Object {digest} in {kind} of the remote is damaged.", digest=digest)
            return kind, content
    raise MissingObjectError(f"The remote has no object {digest}.", digest=digest)


def store_record(vault: Vault, kind: ObjectKind, content: bytes) -> None:
    """Store a record durably, in place of a damaged one too."""
    digest = digest_bytes(content)
    if has_object(vault, kind, digest) and not is_intact(vault, kind, digest):
        with explain_write_errors(vault.objects), write_atomically(path_of(vault, kind, digest)) as stream:
            stream.write(content)
        return
    put_record(vault, kind, content)


@dataclass(slots=True, kw_only=True)
class _Download:
    """What a fetch brings: versions, their manifests, their blobs."""

    vault: Vault
    remote: Remote
    progress: Progress
    num_blobs: int = 0
    num_records: int = 0
    size_bytes: int = 0
    _records: dict[str, ObjectKind] = field(default_factory=dict)
    _blobs: dict[str, None] = field(default_factory=dict)

    def bring(self, tips: Iterable[str]) -> None:
        """Bring versions and all that they reach and no ref of this store does."""
        held = set(walk_ancestors(self.vault, *root_versions(self.vault)))
        versions = self._find_versions([tip for tip in dict.fromkeys(tips) if tip not in held], held=held)
        for start in range(0, len(versions), _GROUP):
            self._bring_group(versions[start : start + _GROUP])

    def bring_blobs(self, wanted: Iterable[str], catalogue: Catalogue | None = None) -> None:
        """Bring what is missing of blobs, from what the remote holds."""
        catalogue = catalogue or self.remote.catalogue()
        target = local_holdings(self.vault)
        listed = self._with_chunks(wanted, catalogue, target)
        self._blobs.update(dict.fromkeys(listed))
        for is_again in (False, True):
            lacking = [digest for digest in listed if not target.is_readable(digest)]
            for digest in lacking:
                check_has(catalogue, digest)
            try:
                plan = plan_transfer(lacking, source=catalogue.holdings, target=target, is_again=is_again)
            except MissingObjectError as error:
                raise RemoteDamagedError(f"The remote is not whole: {error.message}", **error.fields) from error
            if not plan.places:
                return
            self.progress.expect(plan.size_bytes)
            self.size_bytes += receive_blobs(self.vault, catalogue, plan, progress=self.progress)
            self.num_blobs += len(plan.places)
            target = local_holdings(self.vault)

    def is_complete(self) -> bool:
        """Return whether all that was brought, and what it needs, is still there."""
        holdings = local_holdings(self.vault)
        has_records = all(has_object(self.vault, kind, digest) for digest, kind in self._records.items())
        return has_records and all(holdings.is_readable(digest) for digest in self._blobs)

    def report(self, found: RemoteRefs, moved: dict[str, str], kept: Sequence[str]) -> FetchReport:
        """Return what was brought."""
        return FetchReport(
            remote=found,
            moved=moved,
            kept_tags=tuple(kept),
            num_blobs=self.num_blobs,
            num_records=self.num_records,
            size_bytes=self.size_bytes,
        )

    def _with_chunks(self, wanted: Iterable[str], catalogue: Catalogue, target: Holdings) -> list[str]:
        here = [digest for digest in wanted if target.forms(digest)]
        there = [digest for digest in wanted if not target.forms(digest)]
        with Packs(self.vault) as packs:
            listed = with_chunks(here, packs=packs, holdings=target)
        try:
            return listed + with_chunks(there, packs=catalogue.packs, holdings=catalogue.holdings)
        except CorruptObjectError as error:
            raise RemoteDamagedError(f"The remote is damaged: {error.message}", **error.fields) from error

    def _find_versions(self, tips: Sequence[str], *, held: set[str]) -> list[tuple[str, bytes]]:
        """Return ids and bytes of the versions to bring, parents first."""
        contents: dict[str, bytes] = {}
        parents: dict[str, tuple[str, ...]] = {}
        frontier = list(tips)
        while frontier:
            for digest, content in zip(frontier, self._read_all("versions", frontier), strict=True):
                contents[digest] = content
                parents[digest] = _parse(Version, content, digest).parents
            known = held | contents.keys()
            frontier = list(dict.fromkeys(p for d in frontier for p in parents[d] if p not in known))
        return [(digest, contents[digest]) for digest in _parents_first(parents)]

    def _bring_group(self, versions: Sequence[tuple[str, bytes]]) -> None:
        artefacts = list(dict.fromkeys(_parse(Version, content, digest).artefact for digest, content in versions))
        manifests = dict(zip(artefacts, self._read_all("artefacts", artefacts), strict=True))
        blobs = dict.fromkeys(
            b for digest, content in manifests.items() for b in _parse(Manifest, content, digest).blobs()
        )
        self.bring_blobs(list(blobs))
        self._keep("artefacts", manifests.items())
        self._keep("versions", versions)

    def _keep(self, kind: ObjectKind, records: Iterable[tuple[str, bytes]]) -> None:
        for digest, content in records:
            if not has_object(self.vault, kind, digest):
                self.num_records += 1
                self.size_bytes += len(content)
            store_record(self.vault, kind, content)
            self._records[digest] = kind

    def _read_all(self, kind: ObjectKind, digests: Sequence[str]) -> list[bytes]:
        with ThreadPoolExecutor(_NUM_REQUESTS, thread_name_prefix="remote") as pool:
            return list(pool.map(lambda digest: self._read(kind, digest), digests))

    def _read(self, kind: ObjectKind, digest: str) -> bytes:
        with contextlib.suppress(MissingObjectError, CorruptObjectError):
            return read_object(self.vault, kind, digest)
        try:
            return fetch_record(self.remote, digest, (kind,))[1]
        except MissingObjectError as error:
            raise RemoteDamagedError(f"The remote lacks {digest} in {kind}.", digest=digest) from error


_ALL_KINDS: tuple[ObjectKind, ...] = ("blobs", *RECORD_KINDS)


def _read_notes(vault: Vault, remote: Remote) -> list[Note]:
    """Return the notes of a remote that this store lacks on the versions that it has."""
    there = remote.table.note_versions()
    here = {note.id for note in list_notes(vault, with_removed=True)} if there else set()
    wanted = {note for note, version in there.items() if note not in here and has_object(vault, "versions", version)}
    return remote.table.read_notes(wanted) if wanted else []


def _move_refs(
    vault: Vault, name: str, found: RemoteRefs, *, prune: bool, author: str | None
) -> tuple[dict[str, str], list[str]]:
    """Move the refs that tell of a remote, for a caller that holds the lock; return what moved, and tags that stay."""
    moved, kept = {}, []
    if prune:  # first: a branch that is gone may stand where a new one is to be a folder
        there = {f"{REMOTES}{name}/{ref.removeprefix(BRANCHES)}" for ref in found.refs}
        for ref in tracking_refs(vault):
            if ref.startswith(f"{REMOTES}{name}/") and ref not in there:
                drop_ref(vault, ref, expected=..., reason=f"fetch: {name} has it no more", author=author, force=True)
    for ref, version in found.refs.items():
        local = full_ref_name(ref if ref.startswith(TAGS) else f"{REMOTES}{name}/{ref.removeprefix(BRANCHES)}")
        now = read_ref(vault, local)
        if now == version:
            continue
        if ref.startswith(TAGS) and now is not None:
            kept.append(ref)
            continue
        swap_ref(vault, local, version, expected=now, reason=f"fetch: {name}", author=author, force=True)
        moved[local] = version
    return moved, kept


def _parse(record: type[_Record], content: bytes, digest: str) -> _Record:
    try:
        return record.model_validate_json(content)
    except (ValidationError, BadNameError) as error:
        raise RemoteDamagedError(
            f"{digest} of the remote is not a {record.__name__.lower()}.", digest=digest
        ) from error


def _parents_first(parents: dict[str, tuple[str, ...]]) -> Iterator[str]:
    done: set[str] = set()
    stack = list(parents)[::-1]
    while stack:
        version = stack[-1]
        waiting = [parent for parent in parents[version] if parent in parents and parent not in done]
        if version in done or not waiting:
            stack.pop()
            if version not in done:
                done.add(version)
                yield version
            continue
        stack += waiting


def _is_broken_off(folder: Path, url: str) -> bool:
    """Return whether a clone of this URL was begun in the folder and has no branch yet."""
    if not (folder / "objects" / "format.json").is_file():
        return (folder / "objects" / "staging").is_dir() and not (folder / "remotes.json").exists()
    vault = open_vault(folder)
    known = list_remotes(vault)
    return not any(ref.startswith(BRANCHES) for ref in refs(vault)) and known in ({}, {ORIGIN: url})
