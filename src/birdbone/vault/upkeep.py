"""Upkeep of a store: is every byte still right, and what does nothing need any more."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from birdbone.vault.errors import MissingObjectError, VaultError
from birdbone.vault.folder import OBJECT_KINDS, ObjectKind, Vault, explain_write_errors, hold_lock
from birdbone.vault.lookup import read_manifest, read_version
from birdbone.vault.objects import has_object, is_intact, list_objects, path_of
from birdbone.vault.refs import read_reflog, refs

_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `verify` found. Digests only; `faults` says in words what a ref or version lacks."""

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
    """What `collect_garbage` took away, or would have."""

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

    Args:
        set_aside: move damaged objects out of the way, so that putting the same content again mends the store.
    """
    sizes, corrupt = [], []
    for kind, digest in _all_objects(vault):
        with contextlib.suppress(MissingObjectError, FileNotFoundError):  # collected as garbage beside us
            sizes.append(path_of(vault, kind, digest).stat().st_size)
            if not is_intact(vault, kind, digest):
                corrupt.append((kind, digest))
    for kind, digest in corrupt if set_aside else ():
        _set_aside(vault, kind, digest)
    return Verification(
        num_objects=len(sizes),
        size_bytes=sum(sizes),
        corrupt=tuple(digest for _, digest in corrupt),
        set_aside=set_aside,
        faults=tuple(_faults(vault)),
    )


def collect_garbage(
    vault: Vault, *, dry_run: bool, grace_seconds: float = 3600.0, keep_undone_days: float = 30.0
) -> Garbage:
    """Return what nothing needs, and remove it unless `dry_run`.

    Kept are: all that refs reach, their whole history included; what refs pointed at within `keep_undone_days`, so
    that an undone wave can still be looked at; and whatever was put within `grace_seconds`, as it may be about to be
    committed.

    Raises:
        CorruptObjectError, MissingObjectError: the store is damaged; nothing is removed before it is mended.
    """
    with hold_lock(vault):
        reach = _Reach()
        for root in {*refs(vault).values(), *_recently_left(vault, days=keep_undone_days)}:
            _mark(vault, root, reach)
        found = list(_unreached(vault, reach, older_than=time.time() - grace_seconds))
        sizes = [path_of(vault, kind, digest).stat().st_size for kind, digest in found]
        if not dry_run:
            _remove(vault, [path_of(vault, kind, digest) for kind, digest in found])
            _remove(vault, list(_leftovers(vault, older_than=time.time() - grace_seconds)))
    return Garbage(
        dry_run=dry_run, num_objects=len(found), size_bytes=sum(sizes), digests=tuple(digest for _, digest in found)
    )


def _all_objects(vault: Vault) -> Iterator[tuple[ObjectKind, str]]:
    for kind in reversed(OBJECT_KINDS):  # versions first, so that nothing which is left ever names what is gone
        for digest in list_objects(vault, kind):
            yield kind, digest


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
        missing = [blob for blob in sorted(reach.blobs) if not has_object(vault, "blobs", blob)]
        yield from (f"{ref}: The store has no object {blob} in blobs." for blob in missing)


def _recently_left(vault: Vault, *, days: float) -> Iterator[str]:
    since = dt.datetime.now(dt.UTC).timestamp() - days * _SECONDS_PER_DAY
    for move in read_reflog(vault):
        is_recent = dt.datetime.fromisoformat(move.at).timestamp() > since
        for version in (move.old, move.new):
            if is_recent and version and has_object(vault, "versions", version):
                yield version


def _unreached(vault: Vault, reach: _Reach, *, older_than: float) -> Iterator[tuple[ObjectKind, str]]:
    kept = {"versions": reach.versions, "artefacts": reach.artefacts, "blobs": reach.blobs}
    for kind, digest in _all_objects(vault):
        if digest not in kept[kind] and path_of(vault, kind, digest).stat().st_mtime < older_than:
            yield kind, digest


def _leftovers(vault: Vault, *, older_than: float) -> Iterator[Path]:
    records = (path for kind in ("artefacts", "versions") for path in (vault.objects / kind).glob("*/.*"))
    for path in (*vault.staging.iterdir(), *records, *vault.refs.rglob(".*")):
        if path.is_file() and path.stat().st_mtime < older_than:
            yield path


def _remove(vault: Vault, paths: Iterable[Path]) -> None:
    with explain_write_errors(vault.objects):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _set_aside(vault: Vault, kind: ObjectKind, digest: str) -> None:
    folder = vault.objects / "set-aside"
    with explain_write_errors(folder):
        folder.mkdir(exist_ok=True)
        os.replace(path_of(vault, kind, digest), folder / f"{kind}-{digest[3:]}")
