"""Retention: which versions of a history no rule wants kept. A plan with reasons; nothing is deleted here.

A version is kept if any rule keeps it. Whatever the rules say, a version that a branch or tag points at is kept, and so
is one that the caller says a run needs. The others may be dropped: how (the record stays and its artefact goes, say) is
the business of garbage collection.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field, model_validator

from birdbone.core.schema import Strict
from birdbone.vault.errors import BadRetentionError
from birdbone.vault.names import BRANCHES
from birdbone.vault.query.fields import ref_words
from birdbone.vault.query.matching import Query, check_query
from birdbone.vault.query.snapshot import Snapshot

_SECONDS_PER_DAY = 86_400


class RetentionRules(Strict):
    """What is worth keeping, beyond what refs point at. At least one of the first three has to be given."""

    newest_per_branch: int | None = Field(default=None, ge=1)
    """Keep so many of the newest versions of each branch."""
    within_days: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Keep what was committed within so many days."""
    where: tuple[str, ...] = ()
    """Keep what matches one of these queries."""
    noted: bool = True
    """Keep what somebody wrote a note on."""

    @model_validator(mode="after")
    def _keeps_something(self) -> RetentionRules:
        if self.newest_per_branch is None and self.within_days is None and not any(map(str.strip, self.where)):
            raise BadRetentionError("Rules of retention were expected; none came, so all but the refs would go.")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptVersion:
    """A version that stays, and every reason for it."""

    id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppableVersion:
    """A version that may go, and why each rule lets it go."""

    id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPlan:
    """Every version that refs reach, once, newest first."""

    kept: tuple[KeptVersion, ...]
    droppable: tuple[DroppableVersion, ...]
    artefacts: tuple[str, ...]
    """Artefacts of droppable versions that no kept version keeps or was made from, in order."""


def plan_retention(
    snapshot: Snapshot,
    rules: RetentionRules,
    *,
    now: dt.datetime,
    noted: Collection[str] = (),
    needed: Mapping[str, str] | None = None,
) -> RetentionPlan:
    """Return which of the versions that refs reach the rules keep, and which may be dropped. Equal input, equal plan.

    Args:
        now: the moment from which `within_days` counts back; it has a zone.
        noted: ids of versions that carry a note.
        needed: ids of versions that something else needs, such as a run that is under way, each with the reason.

    Raises:
        BadQueryError, UnknownFieldError: a query of `where` is wrong.
    """
    reached = snapshot.reached_from(snapshot.refs.values())
    judge = _Judge(
        snapshot=snapshot,
        rules=rules,
        now=now,
        noted=frozenset(noted) if rules.noted else frozenset(),
        needed=needed or {},
        newest=_newest(snapshot, rules.newest_per_branch),
        queries=[(text, check_query(text, snapshot)) for text in rules.where],
    )
    reasons = {id: tuple(judge.reasons_to_keep(id)) for id in snapshot.versions if id in reached}
    kept = tuple(KeptVersion(id=id, reasons=why) for id, why in reasons.items() if why)
    dropped = [id for id, why in reasons.items() if not why]
    return RetentionPlan(
        kept=kept,
        droppable=tuple(DroppableVersion(id=id, reasons=tuple(judge.reasons_to_drop(id))) for id in dropped),
        artefacts=_needless_artefacts(snapshot, dropped=dropped, kept=[version.id for version in kept]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    snapshot: Snapshot
    rules: RetentionRules
    now: dt.datetime
    noted: frozenset[str]
    needed: Mapping[str, str]
    newest: Mapping[str, list[str]]
    queries: list[tuple[str, Query]]

    def reasons_to_keep(self, id: str) -> Iterator[str]:
        for name in self.snapshot.refs_of.get(id, ()):
            if name in self.snapshot.refs:
                yield f"{ref_words(name)} points at it"
        if id in self.needed:
            yield self.needed[id]
        if id in self.noted:
            yield "it carries a note"
        for branch in self.newest.get(id, ()):
            yield f"among the newest {self.rules.newest_per_branch} of {branch}"
        if self.rules.within_days is not None and self.age_days(id) <= self.rules.within_days:
            yield f"committed within {self.rules.within_days:g} days"
        for text, query in self.queries:
            if query.matches(id):
                yield f"matches {text!r}"

    def reasons_to_drop(self, id: str) -> Iterator[str]:
        if self.rules.newest_per_branch is not None:
            branches = ", ".join(map(ref_words, self.snapshot.branches_of.get(id, ()))) or "any branch"
            yield f"not among the newest {self.rules.newest_per_branch} of {branches}"
        if self.rules.within_days is not None:
            yield f"{self.age_days(id):.1f} days old"
        for text, _ in self.queries:
            yield f"does not match {text!r}"

    def age_days(self, id: str) -> float:
        return (self.now - self.snapshot.versions[id].time).total_seconds() / _SECONDS_PER_DAY


def _newest(snapshot: Snapshot, number: int | None) -> dict[str, list[str]]:
    """Return the versions that are among the newest of a branch, with the names of those branches."""
    found: dict[str, list[str]] = {}
    if number is None:
        return found
    for name, tip in snapshot.refs.items():
        reached = snapshot.reached_from([tip]) if name.startswith(BRANCHES) else set()
        for id in [id for id in snapshot.versions if id in reached][:number]:
            found.setdefault(id, []).append(ref_words(name))
    return found


def _needless_artefacts(snapshot: Snapshot, *, dropped: list[str], kept: list[str]) -> tuple[str, ...]:
    versions = snapshot.versions
    still_used = {digest for id in kept for digest in (versions[id].artefact, *versions[id].lineage.datasets)}
    return tuple(dict.fromkeys(versions[id].artefact for id in dropped if versions[id].artefact not in still_used))
