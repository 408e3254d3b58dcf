"""All versions and refs at one moment, each record read once; what queries, lineage and retention look at."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from birdbone.vault.errors import MissingObjectError, UnknownNameError
from birdbone.vault.folder import Vault
from birdbone.vault.names import BRANCHES, HEAD
from birdbone.vault.records import Manifest, Version
from birdbone.vault.refs.lookup import read_manifest, read_version
from birdbone.vault.refs.refs import read_head, read_reflog, refs

Scope = Literal["refs", "all"]
"""`refs`: what branches and tags reach now. `all`: also what any ref ever pointed at, if the store still has it."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Versions by id, a child before its parents; refs by full name."""

    vault: Vault
    versions: Mapping[str, Version]
    refs: Mapping[str, str]
    head_branch: str | None
    """The branch that `HEAD` stands for, if it exists."""
    _manifests: dict[str, Manifest] = field(default_factory=dict, repr=False, compare=False)

    def manifest(self, artefact: str) -> Manifest:
        """Return the manifest of an artefact, read from the store once."""
        if artefact not in self._manifests:
            self._manifests[artefact] = read_manifest(self.vault, artefact)
        return self._manifests[artefact]

    @property
    def named(self) -> Mapping[str, str]:
        """`HEAD`, if it is anywhere, and every ref, with the version that it points at."""
        head = {} if self.head_branch is None else {HEAD: self.refs[self.head_branch]}
        return {**head, **self.refs}

    @cached_property
    def refs_of(self) -> Mapping[str, tuple[str, ...]]:
        """Full names of the refs that point at each version, `HEAD` first."""
        found: dict[str, tuple[str, ...]] = {}
        for name, version in self.named.items():
            found[version] = (*found.get(version, ()), name)
        return found

    @cached_property
    def branches_of(self) -> Mapping[str, tuple[str, ...]]:
        """Full names of the branches that reach each version."""
        found: dict[str, tuple[str, ...]] = {}
        for name, tip in self.refs.items():
            for version in self.reached_from([tip]) if name.startswith(BRANCHES) else ():
                found[version] = (*found.get(version, ()), name)
        return found

    def reached_from(self, tips: Iterable[str]) -> set[str]:
        """Return the versions that `tips` and their ancestors are, as far as the snapshot holds them."""
        reached: set[str] = set()
        stack = [tip for tip in tips if tip in self.versions]
        while stack:
            version = stack.pop()
            if version not in reached:
                reached.add(version)
                stack.extend(parent for parent in self.versions[version].parents if parent in self.versions)
        return reached


def take_snapshot(vault: Vault, *, scope: Scope = "refs") -> Snapshot:
    """Return every version in scope and every ref. Each version is read and checked once; no manifest and no tensor is.

    Raises:
        CorruptObjectError, MissingObjectError: a version that a ref reaches is damaged or gone.
    """
    pointed_at = refs(vault)
    read = dict(_read_reached(vault, pointed_at.values(), is_needed=True))
    if scope == "all":
        once = dict.fromkeys(id for move in read_reflog(vault) for id in (move.new, move.old) if id and id not in read)
        read |= dict(_read_reached(vault, once, is_needed=False, known=read))
    order = newest_first(read)
    head = read_head(vault)
    return Snapshot(
        vault=vault,
        versions={id: read[id] for id in order},
        refs=pointed_at,
        head_branch=head if head in pointed_at else None,
    )


def newest_first(versions: Mapping[str, Version]) -> list[str]:
    """Return the ids, a child always before its parents; where that leaves a choice, the newest first, then by id."""
    waiting = dict.fromkeys(versions, 0)
    for version in versions.values():
        for parent in dict.fromkeys(version.parents):
            if parent in waiting:
                waiting[parent] += 1
    ready = [(-versions[id].time.timestamp(), id) for id, count in waiting.items() if not count]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        _, id = heapq.heappop(ready)
        order.append(id)
        for parent in dict.fromkeys(versions[id].parents):
            if parent in waiting:
                waiting[parent] -= 1
                if not waiting[parent]:
                    heapq.heappush(ready, (-versions[parent].time.timestamp(), parent))
    return order


def _read_reached(
    vault: Vault, tips: Iterable[str], *, is_needed: bool, known: Mapping[str, Version] | None = None
) -> Iterator[tuple[str, Version]]:
    """Yield the versions that `tips` reach, once each. What is gone is passed over, unless it `is_needed`."""
    seen = set(known or ())
    stack = list(tips)
    while stack:
        id = stack.pop()
        if id in seen:
            continue
        seen.add(id)
        try:
            version = read_version(vault, id)
        except (MissingObjectError, UnknownNameError):
            if is_needed:
                raise
            continue  # collected as garbage since
        yield id, version
        stack.extend(version.parents)
