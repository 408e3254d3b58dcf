"""Push: what a remote lacks goes there, blobs first, then manifests, then versions; its refs move, and notes follow.

Whatever breaks a push off, the remote is in order: what arrived is whole, no ref names what is not there, and the next
push sends only what is still missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from birdbone.vault.ancestry import comes_before, walk_ancestors
from birdbone.vault.errors import (
    NotABranchError,
    RefConflictError,
    TagExistsError,
    UnknownNameError,
    VaultBusyError,
)
from birdbone.vault.folder import ObjectKind, Vault, hold_lock
from birdbone.vault.history.commits import walk_versions
from birdbone.vault.loading import load_manifest
from birdbone.vault.names import BRANCHES, HEAD, REMOTES, TAGS
from birdbone.vault.refs.notes import Note, vouched_notes
from birdbone.vault.refs.refs import read_head, read_ref, swap_ref
from birdbone.vault.remotes.catalogue import PACKS, local_holdings
from birdbone.vault.remotes.remote import Remote, open_remote
from birdbone.vault.remotes.settings import url_of
from birdbone.vault.remotes.tables import RefChange, RemoteRefs
from birdbone.vault.remotes.transfer import Progress, Report, plan_transfer, send_blobs, with_chunks
from birdbone.vault.remotes.transport import Wrap, unsealed
from birdbone.vault.store.objects import has_object, path_of, read_object
from birdbone.vault.store.packs import Packs

_MAX_ROUNDS = 4  # each needs a collection of garbage, or a push of other forms, at the remote in just that moment


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What a push did. `changes` are the refs that moved; the figures are of what was sent, notes not in the bytes."""

    changes: tuple[RefChange, ...]
    num_blobs: int = 0
    num_records: int = 0
    size_bytes: int = 0
    num_notes: int = 0


def push(
    vault: Vault,
    remote: str,
    refs: Sequence[str] = (),
    *,
    force: bool | Collection[str] = False,
    author: str | None = None,
    progress: Report | None = None,
    wrap: Wrap = unsealed,
) -> PushReport:
    """Return what was done so that `refs` of the remote stand where those of the store do; it is durable there then.

    Notes on what they reach go along, removals too, and are united with those of the remote: none is ever lost.

    Args:
        remote: its name, or a URL or folder. Made if there is nothing yet.
        refs: branches and tags, short or full; none means the branch that `HEAD` stands for.
        force: move all of them, or those named, even if versions are left behind or a tag moves. A ref that somebody
            moved while this push ran is never overwritten.
        author: the identity that acts; on a folder its level there is checked.
        progress: is told bytes done and bytes in all.

    Raises:
        RefConflictError: a branch of the remote has versions that this store's does not follow.
        TagExistsError: a tag of the remote stands for another version.
        UnknownNameError, NotABranchError: there is no such ref here; `HEAD` is detached and no ref was named.
        AccessDeniedError, ProtectedRefError: the remote, a folder, does not let this identity do it; where it is about
            notes, the refs have moved.
        CorruptObjectError, MissingObjectError: this store is damaged; no ref moved.
        RemoteError: the remote failed half-way; push again.
        UnsafeRemoteError: the remote cannot promise that no ref is lost; see `tables`.
    """
    url_of(vault, remote)
    tips = _tips(vault, refs)
    opened = open_remote(vault, remote, make=True, wrap=wrap)
    notes = vouched_notes(vault)  # a damaged one is found before anything moves
    found = opened.table.read()
    forced = {ref for ref in tips if force is True or (force and _is_named(ref, force))}
    changes = [
        RefChange(ref=ref, old=found.refs.get(ref), new=new, force=ref in forced)
        for ref, new in tips.items()
        if found.refs.get(ref) != new
    ]
    for change in changes:
        _check_follows(vault, change)
    report = PushReport(changes=())
    if changes:
        upload = _Upload.prepare(vault, opened, found, changes, Progress(progress))
        upload.run(lambda check: opened.table.swap(changes, head=_head(vault, tips), author=author, is_complete=check))
        report = upload.report()
    _remember(vault, opened, tips, author=author)
    return replace(report, num_notes=_send_notes(vault, opened, notes, tips.values(), author=author))


@dataclass(slots=True, kw_only=True)
class _Upload:
    """What a remote needs to have before its refs move, and what of that was sent."""

    vault: Vault
    remote: Remote
    changes: Sequence[RefChange]
    versions: Sequence[str]
    artefacts: Sequence[str]
    blobs: Sequence[str]
    progress: Progress
    num_blobs: int = 0
    num_records: int = 0
    size_bytes: int = 0

    @classmethod
    def prepare(
        cls, vault: Vault, remote: Remote, found: RemoteRefs, changes: Sequence[RefChange], progress: Progress
    ) -> _Upload:
        """Find what the new tips reach and the refs of the remote do not; what these reach is there."""
        held = [version for version in found.refs.values() if has_object(vault, "versions", version)]
        hidden = set(walk_ancestors(vault, *held))
        fresh = list(walk_versions(vault, [change.new for change in changes], hidden=hidden))[::-1]
        artefacts = list(dict.fromkeys(version.artefact for version in fresh))
        blobs = dict.fromkeys(blob for artefact in artefacts for blob in load_manifest(vault, artefact).blobs())
        with Packs(vault) as packs:
            listed = with_chunks(blobs, packs=packs, holdings=local_holdings(vault))
        return cls(
            vault=vault,
            remote=remote,
            changes=changes,
            versions=[version.id for version in fresh],
            artefacts=artefacts,
            blobs=listed,
            progress=progress,
        )

    def run(self, swap: Callable[[Callable[[], bool]], bool]) -> None:
        """Send what is missing and move the refs; again, if what was there went away before they moved."""
        for number in range(_MAX_ROUNDS):
            self._send_blobs(is_again=number > 1)
            self._send_records("artefacts", self.artefacts)
            self._send_records("versions", self.versions)
            if swap(self._is_complete):
                return
        raise VaultBusyError("What was pushed did not stay at the remote, or cannot be read there.")

    def report(self) -> PushReport:
        """Return what was done."""
        return PushReport(
            changes=tuple(self.changes),
            num_blobs=self.num_blobs,
            num_records=self.num_records,
            size_bytes=self.size_bytes,
        )

    def _send_blobs(self, *, is_again: bool) -> None:
        target = self.remote.catalogue().holdings
        plan = plan_transfer(self.blobs, source=local_holdings(self.vault), target=target, is_again=is_again)
        self.progress.expect(plan.size_bytes)
        num_blobs, size_bytes = send_blobs(self.vault, plan, self._send_pack, progress=self.progress)
        self.num_blobs += num_blobs
        self.size_bytes += size_bytes

    def _send_pack(self, name: str, path: Path) -> None:
        self.remote.transport.write(f"{PACKS}/{name}", path)

    def _send_records(self, kind: ObjectKind, digests: Iterable[str]) -> None:
        there = self.remote.transport.sizes(f"objects/{kind}")
        contents = ((digest, read_object(self.vault, kind, digest)) for digest in digests)
        for digest, content in contents:
            if there.get(record_path(kind, digest)) != len(content):
                self.progress.expect(len(content))
                self.remote.transport.write(record_path(kind, digest), content)
                self.num_records += 1
                self.size_bytes += len(content)
                self.progress.add(len(content))

    def _is_complete(self) -> bool:
        """Return whether the remote has all of it, each record in its size, each pack with its index whole."""
        transport = self.remote.transport
        kinds: tuple[tuple[ObjectKind, Sequence[str]], ...]
        kinds = (("artefacts", self.artefacts), ("versions", self.versions))
        for kind, digests in kinds:
            there = transport.sizes(f"objects/{kind}")
            for digest in digests:
                if there.get(record_path(kind, digest)) != path_of(self.vault, kind, digest).stat().st_size:
                    return False
        holdings = self.remote.catalogue().holdings
        return all(holdings.is_readable(blob) for blob in self.blobs)


def record_path(kind: str, digest: str) -> str:
    """Return where a record lies on a remote: as in a store."""
    return f"objects/{kind}/{digest[3:5]}/{digest[5:]}"


def _tips(vault: Vault, names: Sequence[str]) -> dict[str, str]:
    """Return the versions that are to be pushed, by full name of the ref."""
    if not names:
        head = read_head(vault)
        if head == HEAD:
            raise NotABranchError("HEAD is detached.", hint="Name the branches and tags to push.")
        names = [head]
    found = {}
    for name in names:
        candidates = [name] if name.startswith("refs/") else [BRANCHES + name, TAGS + name]
        full = next((ref for ref in candidates if read_ref(vault, ref)), None)
        version = read_ref(vault, full) if full else None
        if full is None or version is None or not full.startswith((BRANCHES, TAGS)):
            raise UnknownNameError(f"There is no branch or tag {name!r} to push.", name=name)
        found[full] = version
    return found


def _is_named(ref: str, names: Collection[str]) -> bool:
    return any(name in names for name in (ref, ref.removeprefix(BRANCHES), ref.removeprefix(TAGS)))


def _head(vault: Vault, tips: Collection[str]) -> str:
    """Return the branch that a fresh remote is to be about."""
    head = read_head(vault)
    branches = [ref for ref in tips if ref.startswith(BRANCHES)]
    return head if head in tips or not branches else branches[0]


def _check_follows(vault: Vault, change: RefChange) -> None:
    if change.old is None or change.force:
        return
    if change.ref.startswith(TAGS):
        raise TagExistsError(f"{change.ref} of the remote stands for {change.old}.", ref=change.ref, found=change.old)
    if not (has_object(vault, "versions", change.old) and comes_before(vault, change.old, change.new)):
        raise RefConflictError(
            f"{change.ref} of the remote points at {change.old}, which the version to push does not follow.",
            hint="Pull first, merge or commit on top of what is there, then push again.",
            ref=change.ref,
            expected=None,
            found=change.old,
        )


def _send_notes(vault: Vault, remote: Remote, notes: Sequence[Note], tips: Iterable[str], *, author: str | None) -> int:
    """Return how many notes the remote lacked on what `tips` reach; it has them then."""
    there = remote.table.note_versions() if notes else {}
    fresh = [note for note in notes if note.id not in there]
    if not fresh:
        return 0
    reached = set(walk_ancestors(vault, *tips))
    return remote.table.add_notes([note for note in fresh if note.version in reached], author=author)


def _remember(vault: Vault, remote: Remote, tips: dict[str, str], *, author: str | None) -> None:
    """Note where the branches of a remote with a name stand now."""
    if remote.name is None:
        return
    with hold_lock(vault):
        for ref, version in tips.items():
            if ref.startswith(BRANCHES):
                tracking = f"{REMOTES}{remote.name}/{ref.removeprefix(BRANCHES)}"
                swap_ref(vault, tracking, version, expected=..., reason="push", author=author, force=True)
