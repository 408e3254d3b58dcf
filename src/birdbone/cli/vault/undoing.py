"""What `revert` and `reverts` do and print."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, assert_never, get_args

from pydantic import ValidationError

from birdbone.cli import words
from birdbone.cli.errors import UsageError, WorkChangedError
from birdbone.cli.vault.looking import check_has_version
from birdbone.cli.vault.moving import Moved, with_files
from birdbone.cli.vault.ruling import find_rule, rules_in
from birdbone.cli.vault.telling import busy, headline, plain, short_digest
from birdbone.cli.vault.work import open_store
from birdbone.vault.errors import RevertConflictError, UnknownNameError
from birdbone.vault.folder import Vault
from birdbone.vault.names import BRANCHES, HEAD
from birdbone.vault.records import Version
from birdbone.vault.refs.permissions import identify
from birdbone.vault.refs.refs import read_head, ref_target
from birdbone.vault.reverting import (
    AtTime,
    Judgement,
    RevertOrder,
    ScheduledRevert,
    WhenRule,
    answer_decision,
    apply_plan,
    cancel_revert,
    due_reverts,
    execute_due_reverts,
    observe_ref,
    pending_decisions,
    plan_order,
    preview_revert,
    schedule_revert,
    scheduled_reverts,
)
from birdbone.vault.reverting.masks import Conflicts, OnlyMask
from birdbone.vault.reverting.violations import find_violation


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
    when: str | None
    rules: str | None
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
    _check_one_condition(request)
    if request.auto is not None:
        return _by_rules(request, is_dry_run=is_dry_run)
    order, when = _order(request), _condition(request)
    try:
        if when is not None and not is_dry_run:
            return _scheduled(request, order, when)
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
        came = f": {short_digest(row['version'])}" if row["version"] else ""
        note = f": {plain(row['note'])}" if row["note"] else ""
        lines.append(f"{short_digest(row['id'])} {row['state']:<9} {_when_words(row)} {_order_words(row)}{came}{note}")
    for row in found["decisions"]:
        lines.append(f"{short_digest(row['id'])} asks      {row['ref']}: {row['judgement']['reason']}")
    return [line.rstrip() for line in lines]


def run_due() -> tuple[list[dict[str, Any]], str]:
    """Return what became of every revert that was due, and where the files of the work folder are, if that is news.

    Files that are not committed keep no revert from happening: they stay as they are.
    """
    store, now = open_store(), dt.datetime.now(dt.UTC)
    news = ""
    if read_head(store) not in {record.order.ref for record in due_reverts(store, now)}:
        done = execute_due_reverts(store, now)
    else:
        try:
            done, moved = with_files(HEAD, lambda vault: execute_due_reverts(vault, now))
            news = moved.in_words() if moved else ""
        except WorkChangedError as error:  # it comes before anything is done
            done, news = execute_due_reverts(store, now), f"HEAD moved, the files did not: {error.message}"
    return [_scheduled_json(record) for record in done], news


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


def _check_one_condition(request: Request) -> None:
    given = [name for name in ("auto", "at", "when") if getattr(request, name) is not None]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} contradict each other.", hint=_HINT)
    if request.rules is not None and request.when is None:
        raise UsageError("--rules says where the rule of --when stands.", hint=_HINT)


def _condition(request: Request) -> AtTime | WhenRule | None:
    """Return what a revert is to wait for; None: nothing."""
    if request.when is not None:
        return WhenRule(rule=find_rule(rules_in(request.rules), request.when))
    if request.at is not None:
        return AtTime(at=request.at.astimezone(dt.UTC))  # a time without a zone is this machine's
    return None


def _scheduled(request: Request, order: RevertOrder, when: AtTime | WhenRule) -> Undone:
    vault = open_store()
    record = schedule_revert(vault, order, when, now=dt.datetime.now(dt.UTC), by=identify(request.author))
    told = [f"{short_digest(record.id)} waits {_until(when)}; `birdbone vault reverts run` carries it out"]
    if isinstance(when, WhenRule):
        now = find_violation(when.rule, observe_ref(vault, record.order.ref).observations)
        told.append(f"  now {now.status.replace('_', ' ')}: {plain(now.reason)}")
    return Undone(data={"state": "scheduled", **_scheduled_json(record)}, told=tuple(told))


def _until(when: AtTime | WhenRule) -> str:
    match when:
        case AtTime():
            return f"until {words.moment(when.at)}"
        case WhenRule():
            return f"until {plain(when.rule.name)} fires"
        case _:
            assert_never(when)


def _by_rules(request: Request, *, is_dry_run: bool) -> Undone:
    from birdbone.vault.reverting.engine import decide, run_engine  # river takes seconds to import

    choice = request.choice
    if choice.undo or choice.to or choice.tensors or choice.layers or choice.experts or choice.only_mask:
        raise UsageError("Rules decide what is reverted; name nothing beside --auto.", hint=_HINT)
    rules = rules_in(request.auto)
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


def _scheduled_json(record: ScheduledRevert) -> dict[str, Any]:
    return {"id": record.id, **record.model_dump(mode="json")}


def _when_words(row: Mapping[str, Any]) -> str:
    when = row["when"]
    return f"when {plain(when['rule']['name'])} fires" if when["kind"] == "rule" else str(when["at"])


def _order_words(row: Mapping[str, Any]) -> str:
    order = row["order"]
    is_part = any(order[name] for name in ("tensors", "layers", "experts", "files", "only_mask"))
    ends = "..".join(map(short_digest, (order["undo"] or order["to"]).split("..")))
    what = f"undo {ends}" if order["undo"] else f"go back to {ends}"
    return f"{what} on {order['ref'].removeprefix(BRANCHES)}{' in part' if is_part else ''}"


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
