"""Committing: an artefact becomes a version, and a branch moves on to it."""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from birdbone.core.measurement import Measurement
from birdbone.vault.errors import BadRecordError, MissingObjectError, RefConflictError, UnknownNameError
from birdbone.vault.folder import Vault, hold_lock
from birdbone.vault.lookup import read_manifest, read_version, resolve
from birdbone.vault.objects import missing_blobs, put_record
from birdbone.vault.records import Lineage, Version, canonical_json
from birdbone.vault.refs import Expected, default_author, read_ref, ref_target, swap_ref


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
    """
    full = ref_target(vault, ref)
    lineage = lineage or Lineage()
    follows = None if parents is None else tuple(resolve(vault, parent) for parent in parents)
    with hold_lock(vault):
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
            author=author or default_author(),
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

    Raises:
        UnknownNameError: nothing is called so.
    """
    versions: list[Version] = []
    for version in _walk(vault, resolve(vault, name)):
        if limit is not None and len(versions) >= limit:
            break
        versions.append(version)
    return versions


def _walk(vault: Vault, start: str) -> Iterator[Version]:
    waiting = _num_children(vault, start)
    ready = [(0.0, start, read_version(vault, start))]
    while ready:
        _, _, version = heapq.heappop(ready)
        yield version
        for parent in dict.fromkeys(version.parents):
            waiting[parent] -= 1
            if not waiting[parent]:
                record = read_version(vault, parent)
                heapq.heappush(ready, (-record.time.timestamp(), parent, record))


def _num_children(vault: Vault, start: str) -> dict[str, int]:
    counts = {start: 0}
    stack = [start]
    while stack:
        for parent in dict.fromkeys(read_version(vault, stack.pop()).parents):
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
