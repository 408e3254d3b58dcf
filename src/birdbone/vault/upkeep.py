"""Upkeep of a store: is every byte still right, and what does nothing need any more."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from birdbone.vault.errors import CorruptObjectError, MissingObjectError, VaultError
from birdbone.vault.folder import RECORD_KINDS, ObjectKind, Vault, explain_write_errors, hold_lock
from birdbone.vault.refs.lookup import read_manifest, read_version
from birdbone.vault.refs.refs import read_reflog, refs
from birdbone.vault.roots import root_versions
from birdbone.vault.store.batches import num_threads
from birdbone.vault.store.blobs import is_sound, read_chunks
from birdbone.vault.store.objects import has_object, is_intact, list_objects, needed_blobs, path_of
from birdbone.vault.store.packs import EntryKind, Packs, Place, all_places, broken_packs, forget_index
from birdbone.vault.store.repack import drop_entries, plan_repack, repack

_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `verify` found. `corrupt` are digests, and names of packs whose index is damaged; `faults` says in words
    what a ref or version lacks.
    """

    num_objects: int
    size_bytes: int
    corrupt: tuple[str, ...]
    set_aside: bool
    faults: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether every object is intact and every ref reaches all that it needs."""
        return not self.corrupt and not self.faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """What `collect_garbage` took away, or would have: then `size_bytes` leaves out what smaller forms would save."""

    dry_run: bool
    num_objects: int
    size_bytes: int
    digests: tuple[str, ...]


@dataclass(slots=True)
class _Reach:
    versions: set[str] = field(default_factory=set)
    artefacts: set[str] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)


def verify(vault: Vault, *, set_aside: bool = False) -> Verification:
    """Return whether every object still matches its digest and every ref reaches all that it needs.

    Every form of every blob is read, also one that a better form stands before.

    Args:
        set_aside: move damaged objects out of the way, so that putting the same content again mends the store.
    """
    forget_index(vault)
    sizes, bad_records = [], []
    for kind, digest in _all_records(vault):
        with contextlib.suppress(MissingObjectError, FileNotFoundError):  # collected as garbage beside us
            sizes.append(path_of(vault, kind, digest).stat().st_size)
            if not is_intact(vault, kind, digest):
                bad_records.append((kind, digest))
    places, bad_packs = all_places(vault), broken_packs(vault)
    bad_places = _damaged(vault, places)
    if set_aside:
        _set_aside(vault, bad_records, bad_places, bad_packs)
    return Verification(
        num_objects=len(sizes) + len(places),
        size_bytes=sum(sizes) + sum(place.stored_bytes for place in places),
        corrupt=(*(digest for _, digest in bad_records), *(place.digest for place in bad_places), *bad_packs),
        set_aside=set_aside,
        faults=tuple(_faults(vault)),
    )


def collect_garbage(
    vault: Vault,
    *,
    dry_run: bool,
    grace_seconds: float = 3600.0,
    keep_undone_days: float = 30.0,
    compress: bool = True,
) -> Garbage:
    """Return what nothing needs, and remove it unless `dry_run`.

    Kept are: all that refs, a detached HEAD, notes and a bisection reach, their whole history included; what refs
    pointed at within `keep_undone_days`, so that an undone wave can still be looked at; whatever was put within
    `grace_seconds`, as it may be about to be committed; and every blob that one of these is a change of.

    Args:
        compress: keep what no ref points at directly in its smallest form, which takes longer to read.

    Raises:
        CorruptObjectError, MissingObjectError: the store is damaged; nothing is removed before it is mended.
    """
    with hold_lock(vault), Packs(vault) as packs:
        reach = _Reach()
        cutoff = time.time() - grace_seconds
        for root in root_versions(vault):
            _mark(vault, root, reach)
        for root in {*_recently_left(vault, days=keep_undone_days), *_young_versions(vault, younger_than=cutoff)}:
            with contextlib.suppress(MissingObjectError):  # an earlier collection was told to keep less of these
                _mark(vault, root, reach)
        records = list(_unreached_records(vault, reach, older_than=cutoff))
        old_packs = {path.name for path in vault.packs.glob("*.pack") if path.stat().st_mtime < cutoff}
        needed = needed_blobs(packs, reach.blobs) | _needed_by_young(packs, old_packs)
        hot = set(_blobs_at_refs(packs)) if compress else needed
        plan = plan_repack(packs, old_packs, needed=needed, hot=hot)
        freed = plan.dropped_bytes
        record_bytes = sum(path_of(vault, kind, digest).stat().st_size for kind, digest in records)
        if not dry_run:
            _remove([path_of(vault, kind, digest) for kind, digest in records], vault=vault)
            freed = repack(packs, plan, needed=needed)
            _remove(list(_leftovers(vault, older_than=cutoff)), vault=vault)
    return Garbage(
        dry_run=dry_run,
        num_objects=len(records) + len(plan.dead),
        size_bytes=record_bytes + freed,
        digests=(*(digest for _, digest in records), *plan.dead),
    )


def _mark(vault: Vault, root: str, reach: _Reach) -> None:
    stack = [root]
    while stack:
        version = stack.pop()
        if version in reach.versions:
            continue
        record = read_version(vault, version)
        reach.versions.add(version)
        stack.extend(record.parents)
        if record.artefact not in reach.artefacts:
            reach.blobs.update(read_manifest(vault, record.artefact).blobs())
            reach.artefacts.add(record.artefact)


def _faults(vault: Vault) -> Iterator[str]:
    try:
        found = refs(vault)
    except VaultError as error:
        yield error.message
        return
    for ref, version in found.items():
        reach = _Reach()
        try:
            _mark(vault, version, reach)
        except VaultError as error:
            yield f"{ref}: {error.message}"
        with Packs(vault) as packs:
            for blob in sorted(reach.blobs):
                try:
                    needed_blobs(packs, [blob])
                except VaultError as error:
                    yield f"{ref}: {error.message}"


def _young_versions(vault: Vault, *, younger_than: float) -> Iterator[str]:
    for version in list_objects(vault, "versions"):
        with contextlib.suppress(FileNotFoundError):
            if path_of(vault, "versions", version).stat().st_mtime >= younger_than:
                yield version


def _needed_by_young(packs: Packs, old_packs: Collection[str]) -> set[str]:
    """Return the blobs of packs that are young, and all that these are read by: somebody is about to commit them."""
    needed: set[str] = set()
    for place in all_places(packs.vault):
        if place.pack not in old_packs:
            with contextlib.suppress(MissingObjectError, CorruptObjectError):
                needed |= needed_blobs(packs, [place.digest])
    return needed


def _recently_left(vault: Vault, *, days: float) -> Iterator[str]:
    since = dt.datetime.now(dt.UTC).timestamp() - days * _SECONDS_PER_DAY
    for move in read_reflog(vault):
        is_recent = dt.datetime.fromisoformat(move.at).timestamp() > since
        for version in (move.old, move.new):
            if is_recent and version and has_object(vault, "versions", version):
                yield version


def _unreached_records(vault: Vault, reach: _Reach, *, older_than: float) -> Iterator[tuple[ObjectKind, str]]:
    kept = {"versions": reach.versions, "artefacts": reach.artefacts}
    for kind, digest in _all_records(vault):
        if digest not in kept[kind] and path_of(vault, kind, digest).stat().st_mtime < older_than:
            yield kind, digest


def _all_records(vault: Vault) -> Iterator[tuple[ObjectKind, str]]:
    for kind in reversed(RECORD_KINDS):  # versions first, so that nothing which is left ever names what is gone
        for digest in list_objects(vault, kind):
            yield kind, digest


def _blobs_at_refs(packs: Packs) -> Iterator[str]:
    """Yield the blobs of what refs point at, and the chunks of its files; not what these are changes of."""
    for version in set(refs(packs.vault).values()):
        for blob in read_manifest(packs.vault, read_version(packs.vault, version).artefact).blobs():
            yield blob
            place = packs.find(blob)
            if place.kind is EntryKind.CHUNKS:
                yield from (chunk for chunk, _ in read_chunks(packs, place))


def _damaged(vault: Vault, places: Sequence[Place]) -> list[Place]:
    """Return the entries whose bytes are not those of their blob, or cannot be read because one below is not there."""
    with Packs(vault) as packs, ThreadPoolExecutor(num_threads()) as pool:
        sound = list(pool.map(lambda place: _is_sound(packs, place), places))
    return [place for place, is_sound in zip(places, sound, strict=True) if not is_sound]


def _is_sound(packs: Packs, place: Place) -> bool:
    try:
        return is_sound(packs, place)
    except FileNotFoundError:
        return True  # collected as garbage beside us


def _leftovers(vault: Vault, *, older_than: float) -> Iterator[Path]:
    records = (path for kind in RECORD_KINDS for path in (vault.objects / kind).glob("*/.*"))
    for path in (*vault.staging.rglob("*"), *records, *vault.refs.rglob(".*")):
        if path.is_file() and path.stat().st_mtime < older_than:
            yield path


def _remove(paths: Iterable[Path], *, vault: Vault) -> None:
    with explain_write_errors(vault.objects):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _set_aside(
    vault: Vault, records: Iterable[tuple[ObjectKind, str]], places: Sequence[Place], packs: Iterable[str]
) -> None:
    folder = vault.objects / "set-aside"
    with hold_lock(vault), explain_write_errors(folder):
        for kind, digest in records:
            folder.mkdir(exist_ok=True)
            os.replace(path_of(vault, kind, digest), folder / f"{kind}-{digest[3:]}")
        with Packs(vault) as opened:
            drop_entries(opened, places, also=packs)
