"""What `merge` does and prints. A conflict is no fault of the program: it is listed as data; nothing was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from birdbone.cli.vault.looking import check_has_version
from birdbone.cli.vault.moving import Moved, with_files
from birdbone.cli.vault.telling import busy, headline, plain, short_digest
from birdbone.cli.vault.work import open_store
from birdbone.vault.errors import MergeConflictError
from birdbone.vault.folder import Vault
from birdbone.vault.history.commits import is_ancestor
from birdbone.vault.merging import Decision, MergeResult, decide, merge, plan_merge
from birdbone.vault.merging.changes import State
from birdbone.vault.names import BRANCHES, HEAD
from birdbone.vault.refs.lookup import read_version, resolve
from birdbone.vault.refs.refs import read_head

Outcome = Literal["up_to_date", "fast_forward", "merged", "conflict"]

_MAX_CONFLICTS = 20
_USUAL_REASON = "changed by both, differently"
_ORDER: tuple[State, ...] = ("untouched", "ours", "theirs", "both", "conflict")
_TOLD = {
    "untouched": "untouched",
    "ours": "changed by us only",
    "theirs": "changed by them only",
    "both": "changed alike by both",
    "conflict": "settled by a strategy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person said to `merge`."""

    theirs: str
    strategies: tuple[str, ...]
    base: str | None
    allow_fast_forward: bool
    message: str | None
    author: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What a merge came to, or would."""

    branch: str
    theirs: str
    outcome: Outcome
    version: str | None
    headline: str
    decisions: tuple[Decision, ...]
    conflicts: tuple[Mapping[str, str], ...]
    moved: Moved | None
    is_dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "branch": self.branch,
            "theirs": self.theirs,
            "outcome": self.outcome,
            "version": self.version,
            "decisions": [{**asdict(decision), "source": decision.source} for decision in self.decisions],
            "conflicts": [dict(conflict) for conflict in self.conflicts],
            "is_dry_run": self.is_dry_run,
        }

    def lines(self) -> Iterator[str]:
        """Yield it line by line."""
        if self.conflicts:
            yield from _conflict_lines(self.conflicts)
            return
        would = "would be " if self.is_dry_run else ""
        match self.outcome:
            case "up_to_date":
                yield f"nothing to merge: {self.branch} has all of {self.theirs}"
            case "fast_forward":
                yield f"{would}a fast-forward: {self.branch} moves to {short_digest(self.version or '')}"
            case _ if self.is_dry_run:
                yield f"would merge {self.theirs} into {self.branch}:"
            case _:
                yield f"[{self.branch} {short_digest(self.version or '')}] {self.headline}"
        yield from _decision_lines(self.decisions)
        if self.moved is not None:
            yield self.moved.in_words()


def join(wanted: Wanted) -> Joined:
    """Return what came of merging into HEAD; conflicts without a strategy are part of the answer.

    Raises:
        WorkChangedError: the work folder has changes that are not committed; nothing was done.
        and what `merge` raises, but for `MergeConflictError`.
    """

    def act(vault: Vault) -> MergeResult:
        check_has_version(vault, HEAD)
        with busy(f"merging {wanted.theirs}"):
            return merge(
                vault,
                HEAD,
                wanted.theirs,
                base=wanted.base,
                strategies=wanted.strategies,
                message=wanted.message or f"Merge {wanted.theirs} into {_branch(vault)}",
                author=wanted.author,
                allow_fast_forward=wanted.allow_fast_forward,
            )

    vault = open_store()
    try:
        result, moved = with_files(HEAD, act)
    except MergeConflictError as error:
        return _joined(vault, wanted, "conflict", conflicts=error.fields["conflicts"])
    return _joined(
        vault,
        wanted,
        result.outcome,
        version=result.version,
        decisions=result.decisions,
        moved=moved if result.outcome != "up_to_date" else None,
    )


def plan_only(wanted: Wanted) -> Joined:
    """Return what a merge would come to; nothing is written. Raises what `plan_merge` does."""
    vault = open_store()
    check_has_version(vault, HEAD)
    ours, theirs = resolve(vault, HEAD), resolve(vault, wanted.theirs)
    if is_ancestor(vault, theirs, ours):
        return _joined(vault, wanted, "up_to_date", version=ours, is_dry_run=True)
    if is_ancestor(vault, ours, theirs) and wanted.allow_fast_forward:
        return _joined(vault, wanted, "fast_forward", version=theirs, is_dry_run=True)
    try:
        decisions = decide(plan_merge(vault, ours, theirs, wanted.base), wanted.strategies)
    except MergeConflictError as error:
        return _joined(vault, wanted, "conflict", conflicts=error.fields["conflicts"], is_dry_run=True)
    return _joined(vault, wanted, "merged", decisions=decisions, is_dry_run=True)


def _joined(
    vault: Vault,
    wanted: Wanted,
    outcome: Outcome,
    *,
    version: str | None = None,
    decisions: tuple[Decision, ...] = (),
    conflicts: Iterable[Mapping[str, str]] = (),
    moved: Moved | None = None,
    is_dry_run: bool = False,
) -> Joined:
    return Joined(
        branch=_branch(vault),
        theirs=wanted.theirs,
        outcome=outcome,
        version=version,
        headline=headline(read_version(vault, version)) if version else "",
        decisions=decisions,
        conflicts=tuple(conflicts),
        moved=moved,
        is_dry_run=is_dry_run,
    )


def _branch(vault: Vault) -> str:
    return read_head(vault).removeprefix(BRANCHES)


def _conflict_lines(conflicts: tuple[Mapping[str, str], ...]) -> Iterator[str]:
    for conflict in conflicts[:_MAX_CONFLICTS]:
        yield f"CONFLICT {conflict['what']} {plain(conflict['name'])}"
        if conflict["reason"] != _USUAL_REASON:
            yield f"    {conflict['reason']}"
    if len(conflicts) > _MAX_CONFLICTS:
        yield f"and {len(conflicts) - _MAX_CONFLICTS} more; --json has all"
    count = "1 conflict" if len(conflicts) == 1 else f"{len(conflicts)} conflicts"
    yield f"{count}: both sides changed them, no strategy settles them; nothing was written"
    yield "settle them by name: --strategy '*.mlp.*=ties:weight=0.5,density=0.5' or --strategy '*=ours'"


def _decision_lines(decisions: tuple[Decision, ...]) -> Iterator[str]:
    whats = dict.fromkeys(decision.what for decision in decisions)
    for what in whats:
        counts = Counter(decision.state for decision in decisions if decision.what == what)
        told = ", ".join(f"{counts[state]} {_TOLD[state]}" for state in _ORDER if counts[state])
        yield f"  {what}{'' if what == 'metadata' else 's'}: {told}"
    settled = Counter((decision.strategy, decision.rule) for decision in decisions if decision.strategy)
    for (strategy, rule), count in settled.items():
        yield f"  {strategy} settled {count} that match {rule}"
