"""What `revert` and `reverts` do and print."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from birdbone.cli import words
from birdbone.cli.errors import UsageError
from birdbone.cli.vault.looking import check_has_version
from birdbone.cli.vault.moving import Moved, with_files
from birdbone.cli.vault.telling import busy, headline, plain, short_digest
from birdbone.cli.vault.work import open_store
from birdbone.vault.errors import RevertConflictError, UnknownNameError
from birdbone.vault.folder import Vault
from birdbone.vault.names import BRANCHES, HEAD
from birdbone.vault.records import Version
from birdbone.vault.refs.permissions import identify
from birdbone.vault.refs.refs import ref_target
from birdbone.vault.reverting import (
    AtTime,
    Judgement,
    RevertOrder,
    answer_decision,
    apply_plan,
    cancel_revert,
    execute_due_reverts,
    pending_decisions,
    plan_order,
    preview_revert,
    read_rules,
    schedule_revert,
    scheduled_reverts,
)
from birdbone.vault.reverting.masks import Conflicts, OnlyMask

_DEFAULT_RULES = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is to be undone, as a person named it."""

    undo: str | None
    to: str | None
    tensors: tuple[str, ...]
    layers: tuple[str, ...]
    experts: tuple[str, ...]
    files: tuple[str, ...]
    only_mask: str | None
    on_conflict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person said to `revert`."""

    choice: Choice
    ref: str
    auto: str | None
    at: dt.datetime | None
    message: str
    author: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What a revert came to: data for a program, lines for a person."""

    data: Mapping[str, Any]
    told: tuple[str, ...]
    conflicts: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**self.data, "conflicts": list(self.conflicts)}

    def lines(self) -> Iterator[str]:
        """Yield it line by line."""
        yield from (f"CONFLICT {plain(name)}: a later version changed it too" for name in self.conflicts)
        yield from self.told


def undo(request: Request, *, is_dry_run: bool) -> Undone:
    """Return what came of a revert: made, planned, scheduled, or decided by rules.

    Raises:
        UsageError: nothing was named to undo, or options contradict each other.
        and what `plan_revert` raises, but for `RevertConflictError`.
    """
    check_has_version(open_store(), request.ref)
    if request.auto is not None:
        return _by_rules(request, is_dry_run=is_dry_run)
    order = _order(request)
    try:
        if request.at is not None and not is_dry_run:
            return _scheduled(request, order)
        return _planned(order) if is_dry_run else _made(request, order)
    except RevertConflictError as error:
        told = ("say --on-conflict keep (leave the later change) or take (drop it); nothing was reverted",)
        return Undone(data={"state": "conflict"}, told=told, conflicts=tuple(error.fields["names"]))


def waiting(vault: Vault) -> dict[str, Any]:
    """Return the reverts that were scheduled and the decisions that wait for a person, as plain data."""
    return {
        "scheduled": [_scheduled_json(record) for record in scheduled_reverts(vault)],
        "decisions": [{"id": decision.id, **decision.model_dump(mode="json")} for decision in pending_decisions(vault)],
    }


def waiting_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what `waiting` found in lines."""
    lines = []
    for row in found["scheduled"]:
        when = row["when"].get("at") or f"when {row['when'].get('rule', {}).get('name', 'a rule')} fires"
        what = row["order"]["undo"] or row["order"]["to"]
        lines.append(f"{short_digest(row['id'])} {row['state']:<9} {when} revert {short_digest(what)} {row['note']}")
    for row in found["decisions"]:
        lines.append(f"{short_digest(row['id'])} asks      {row['ref']}: {row['judgement']['reason']}")
    return [line.rstrip() for line in lines]


def run_due() -> list[dict[str, Any]]:
    """Return what became of every revert that was due."""
    return [_scheduled_json(record) for record in execute_due_reverts(open_store(), dt.datetime.now(dt.UTC))]


def answer(vault: Vault, name: str, word: str, *, reason: str, by: str | None) -> str:
    """Return the id of the decision that was answered.

    Raises:
        UsageError: the answer is neither approve nor deny.
        UnknownNameError, DecisionError: no decision of this id waits.
    """
    if word not in ("approve", "deny"):
        raise UsageError(f"An answer is approve or deny; {word!r} came.")
    found = _one(name, (decision.id for decision in pending_decisions(vault)), what="decision")
    approves = word == "approve"
    now = dt.datetime.now(dt.UTC)
    answer_decision(vault, found, answer="approve" if approves else "deny", by=identify(by), reason=reason, now=now)
    return found


def cancel(vault: Vault, name: str, *, reason: str, by: str | None) -> str:
    """Return the id of the revert that was cancelled. Raises what `cancel_revert` does."""
    found = _one(name, (record.id for record in scheduled_reverts(vault) if record.state == "waiting"), what="revert")
    cancel_revert(vault, found, now=dt.datetime.now(dt.UTC), by=identify(by), reason=reason)
    return found


def _order(request: Request) -> RevertOrder:
    choice = request.choice
    if (choice.undo is None) == (choice.to is None):
        raise UsageError("Name the version to undo, or the one to go back to by --to.", hint=_HINT)
    for value, known in ((choice.only_mask, get_args(OnlyMask)), (choice.on_conflict, get_args(Conflicts))):
        if value is not None and value not in known:
            raise UsageError(f"{value!r} is none of {', '.join(known)}.", hint=_HINT)
    try:
        return RevertOrder(
            ref=request.ref,
            message=request.message,
            **asdict(choice),
        )
    except ValidationError as error:
        raise UsageError(f"This cannot be reverted: {error.errors()[0]['msg']}.", hint=_HINT) from error


def _planned(order: RevertOrder) -> Undone:
    vault = open_store()
    preview = preview_revert(vault, plan_order(vault, order))
    return Undone(data={"state": "planned", "preview": preview.to_dict()}, told=tuple(preview.in_words().splitlines()))


def _made(request: Request, order: RevertOrder) -> Undone:
    def act(vault: Vault) -> Version:
        with busy("reverting"):
            return apply_plan(vault, plan_order(vault, order), message=request.message, author=request.author)

    version, moved = with_files(request.ref, act)
    data = {"state": "reverted", "version": version.id, "artefact": version.artefact, "message": version.message}
    return Undone(data=data, told=_version_lines(request, version, moved))


def _scheduled(request: Request, order: RevertOrder) -> Undone:
    assert request.at is not None, "the caller has seen to it"
    when = AtTime(at=request.at.astimezone(dt.UTC))  # a time without a zone is this machine's
    now = dt.datetime.now(dt.UTC)
    record = schedule_revert(open_store(), order, when, now=now, by=identify(request.author))
    told = f"{short_digest(record.id)} waits until {words.moment(when.at)}; `birdbone vault reverts run` carries it out"
    return Undone(data={"state": "scheduled", **_scheduled_json(record)}, told=(told,))


def _by_rules(request: Request, *, is_dry_run: bool) -> Undone:
    from birdbone.vault.reverting.engine import decide, run_engine  # river takes seconds to import

    choice = request.choice
    if choice.undo or choice.to or choice.tensors or choice.layers or choice.experts or choice.only_mask:
        raise UsageError("Rules decide what is reverted; name nothing beside --auto.", hint=_HINT)
    rules = read_rules(None if request.auto == _DEFAULT_RULES else Path(str(request.auto)))
    if is_dry_run:
        decision = decide(open_store(), request.ref, rules)
        told = [f"{decision.judgement.action}: {decision.judgement.reason}", *_finding_lines(decision.judgement)]
        return Undone(data={"state": "planned", "decision": decision.model_dump(mode="json")}, told=tuple(told))
    now = dt.datetime.now(dt.UTC)
    result, moved = with_files(request.ref, lambda vault: run_engine(vault, request.ref, rules, now=now))
    judgement = result.decision.judgement
    told = [f"{result.state}: {judgement.reason}", *_finding_lines(judgement)]
    if result.state == "waiting":
        told.append(f"`birdbone vault reverts answer {short_digest(result.decision.id)} approve -m WHY` says yes")
    if result.version is not None:
        told += _version_lines(request, result.version, moved)
    version = result.version.id if result.version else None
    data = {
        "state": result.state,
        "id": result.decision.id,
        "decision": result.decision.model_dump(mode="json"),
        "version": version,
    }
    return Undone(data=data, told=tuple(told))


def _finding_lines(judgement: Judgement) -> Iterator[str]:
    """Yield what each rule found that had a figure to judge, then the rules that had none."""
    for finding in judgement.findings:
        if finding.status not in ("not_measured", "fired"):
            yield f"  {finding.rule}: {finding.status.replace('_', ' ')}: {finding.reason}"
    unmeasured = [finding.rule for finding in judgement.findings if finding.status == "not_measured"]
    if unmeasured:
        yield f"  nothing measured for: {', '.join(unmeasured)}"


def _version_lines(request: Request, version: Version, moved: Moved | None) -> tuple[str, ...]:
    branch = ref_target(open_store(), HEAD if request.ref == "@" else request.ref).removeprefix(BRANCHES)
    head = f"[{branch} {short_digest(version.id)}] {headline(version)}"
    return (head, moved.in_words()) if moved else (head,)


def _scheduled_json(record: Any) -> dict[str, Any]:
    return {"id": record.id, **record.model_dump(mode="json")}


def _one(name: str, ids: Iterable[str], *, what: str) -> str:
    digits = name.removeprefix("b3:")
    found = [each for each in ids if len(digits) >= 6 and each[3:].startswith(digits)]
    if len(found) != 1:
        raise UnknownNameError(
            f"No {what} that waits is called {name!r}.",
            hint="`birdbone vault reverts list` gives their ids.",
            name=name,
        )
    return found[0]


_HINT = "`birdbone vault revert --help` lists what it takes."
