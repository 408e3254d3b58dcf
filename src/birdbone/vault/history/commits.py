"""Committing, so that an artefact becomes a version and a branch moves on to it; and what came before what."""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from birdbone.core.measurement import Measurement
from birdbone.vault.ancestry import comes_before, lowest_common_ancestors, parents_of, walk_ancestors
from birdbone.vault.errors import BadRecordError, MissingObjectError, RefConflictError, UnknownNameError
from birdbone.vault.folder import Vault, hold_lock
from birdbone.vault.loading import load_version
from birdbone.vault.records import Lineage, Version, canonical_json
from birdbone.vault.refs.lookup import read_manifest, read_version, resolve, resolve_range
from birdbone.vault.refs.permissions import identify
from birdbone.vault.refs.refs import Expected, read_ref, ref_target, swap_ref
from birdbone.vault.store.objects import missing_blobs, needed_blobs, put_record
from birdbone.vault.store.packs import Packs


def commit(
    vault: Vault,
    artefact: str,
    *,
    ref: str,
    message: str,
    parents: Sequence[str] | None = None,
    measurements: Sequence[Measurement | Mapping[str, Any]] = (),
    lineage: Lineage | None = None,
    author: str | None = None,
    expected: Expected = ...,
    time: dt.datetime | None = None,
) -> Version:
    """Return the new version of `artefact`, after `ref` was moved to it; both are durable then.

    A step that runs again commits nothing new: if `ref` already points at a version of this artefact from the same
    run and step (`lineage`), that version is returned.

    Args:
        artefact: digest that `put_folder` or `put_file` gave.
        ref: branch or tag, short or full, or `HEAD`. Made if it is missing.
        parents: versions that this one follows; None means the one that `ref` points at. An empty sequence starts anew.
        measurements: figures taken on this artefact.
        expected: the version that `ref` must point at (None: it must not exist). Left out, `ref` must point at one of
            `parents`, so that no version is ever pushed off a branch unseen.
        time: when; now, unless a test says otherwise.

    Raises:
        RefConflictError: `ref` points elsewhere; it stays there.
        MissingObjectError: the store lacks the artefact, one of its blobs, or a parent.
        BadRecordError: a measurement is not plain JSON, or a number is not finite.
        AccessDeniedError, ProtectedRefError: `author` may not move `ref` so.
    """
    lineage = lineage or Lineage()
    follows = None if parents is None else tuple(resolve(vault, parent) for parent in parents)
    with hold_lock(vault):
        full = ref_target(vault, ref)
        _check_complete(vault, artefact)
        current = read_ref(vault, full)
        if done := _same_step(vault, current, artefact=artefact, lineage=lineage, parents=follows):
            return done
        if follows is None:
            follows = (current,) if current else ()
        _check_follows(full, current, parents=follows, expected=expected)
        version = _new_version(
            artefact=artefact,
            parents=follows,
            author=identify(author),
            time=time or dt.datetime.now(dt.UTC),
            message=message,
            measurements=tuple(_as_json(row) for row in measurements),
            lineage=lineage,
        )
        put_record(vault, "versions", canonical_json(version))
        swap_ref(vault, full, version.id, expected=current, reason=f"commit: {message}", author=version.author)
    return version


def log(vault: Vault, name: str = "HEAD", *, limit: int | None = None) -> list[Version]:
    """Return the versions that `name` and its ancestors are, a child always before its parents, newest first.

    Args:
        name: a name or a range (see `resolve_range`).

    Raises:
        UnknownNameError: nothing is called so.
    """
    meant = resolve_range(vault, name)
    hidden = set(walk_ancestors(vault, *meant.hidden))
    return [*itertools.islice(walk_versions(vault, meant.tips, hidden=hidden), limit)]


def merge_bases(vault: Vault, one: str, other: str) -> list[str]:
    """Return the ids of all lowest common ancestors of two versions by name, newest first; none if they share nothing.

    Several stand side by side after each of two branches was merged into the other.
    """
    found = lowest_common_ancestors(vault, resolve(vault, one), resolve(vault, other))
    return sorted(found, key=lambda version: (-load_version(vault, version).time.timestamp(), version))


def is_ancestor(vault: Vault, old: str, new: str) -> bool:
    """Return whether `old` is `new` or comes before it, so that a ref could move from `old` to `new` losing nothing."""
    return comes_before(vault, resolve(vault, old), resolve(vault, new))


def can_fast_forward(vault: Vault, ref: str, to: str) -> bool:
    """Return whether `ref` can move to the version `to` losing nothing: it does not exist yet, or `to` follows it."""
    current = read_ref(vault, ref)
    return current is None or comes_before(vault, current, resolve(vault, to))


def count_ahead_behind(vault: Vault, name: str, other: str) -> tuple[int, int]:
    """Return how many versions `name` follows that `other` does not, and the other way round."""
    own, others = (set(walk_ancestors(vault, resolve(vault, each))) for each in (name, other))
    return len(own - others), len(others - own)


def walk_versions(vault: Vault, tips: Iterable[str], *, hidden: Collection[str] = ()) -> Iterator[Version]:
    """Yield `tips` (ids) and all that they follow but not `hidden`: children before parents, newest first."""
    shown = [tip for tip in dict.fromkeys(tips) if tip not in hidden]
    waiting = _num_children(vault, shown, hidden=hidden)
    ready: list[tuple[float, str, Version]] = []
    _make_ready(vault, [tip for tip in shown if not waiting[tip]], ready)
    while ready:
        _, _, version = heapq.heappop(ready)
        yield version
        parents = [parent for parent in dict.fromkeys(version.parents) if parent not in hidden]
        for parent in parents:
            waiting[parent] -= 1
        _make_ready(vault, [parent for parent in parents if not waiting[parent]], ready)


def _make_ready(vault: Vault, versions: Iterable[str], ready: list[tuple[float, str, Version]]) -> None:
    for version in versions:
        record = load_version(vault, version)
        heapq.heappush(ready, (-record.time.timestamp(), version, record))


def _num_children(vault: Vault, tips: Iterable[str], *, hidden: Collection[str]) -> dict[str, int]:
    counts = dict.fromkeys(tips, 0)
    stack = [*counts]
    while stack:
        for parent in parents_of(vault, stack.pop()):
            if parent in hidden:
                continue
            if parent not in counts:
                stack.append(parent)
            counts[parent] = counts.get(parent, 0) + 1
    return counts


def _check_complete(vault: Vault, artefact: str) -> None:
    try:
        blobs = read_manifest(vault, artefact).blobs()
    except UnknownNameError as error:
        raise MissingObjectError(f"The store has no artefact {artefact}.", digest=artefact) from error
    if missing := missing_blobs(vault, blobs):
        raise MissingObjectError(f"Artefact {artefact} lacks its blob {missing[0]}.", digest=missing[0])
    with Packs(vault) as packs:
        needed_blobs(packs, blobs)  # what they are changes of, too


def _same_step(
    vault: Vault, current: str | None, *, artefact: str, lineage: Lineage, parents: tuple[str, ...] | None
) -> Version | None:
    if current is None or not (lineage.run_id and lineage.step):
        return None
    head = read_version(vault, current)
    is_same = (head.artefact, head.lineage) == (artefact, lineage) and parents in (None, head.parents)
    return head if is_same else None


def _check_follows(full: str, current: str | None, *, parents: tuple[str, ...], expected: Expected) -> None:
    is_expected = (current is None or current in parents) if expected is ... else current == expected
    if not is_expected:
        raise RefConflictError(
            f"{full} points at {current or 'nothing'}, which is not what this commit follows.",
            ref=full,
            expected=list(parents) if expected is ... else expected,
            found=current,
        )


def _new_version(**fields: Any) -> Version:
    try:
        return Version(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRecordError(f"A version cannot hold this: {where}: {first['msg']}.") from error


def _as_json(row: Measurement | Mapping[str, Any]) -> dict[str, Any]:
    return row.model_dump(mode="json") if isinstance(row, Measurement) else dict(row)
