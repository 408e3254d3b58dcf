"""The revert engine: reads what was measured on a ref, judges it by rules, writes the decision down, and acts on it.

Theory of operation. The decision is a function of the history and the rules alone, and so is its id. It is appended to
the log before anything is done. The revert is a commit whose lineage is that id, so a crash between the steps leaves
either a decision that is carried out the next time, or a commit that is recognised the next time; never two.
Run it after each commit: it judges the newest version, and only what was measured on that one can fire.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from birdbone.core.digest import digest_json
from birdbone.vault.errors import RefConflictError
from birdbone.vault.folder import Vault
from birdbone.vault.history.commits import log
from birdbone.vault.records import Lineage, Version
from birdbone.vault.refs.refs import ref_target
from birdbone.vault.reverting.apply import apply_plan
from birdbone.vault.reverting.decisions import (
    AnswerEntry,
    Decision,
    DecisionEntry,
    OutcomeEntry,
    answer_decision,
    append_entry,
    read_decisions,
)
from birdbone.vault.reverting.judging import evaluate_rules
from birdbone.vault.reverting.observations import observe_ref
from birdbone.vault.reverting.plan import RevertPlan, plan_revert
from birdbone.vault.reverting.preview import preview_revert
from birdbone.vault.reverting.rules import RevertRules

AUTHOR = "revert-engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person says to a decision that asks for approval."""

    answer: Literal["approve", "deny"]
    by: str
    reason: str


Approver = Callable[[Decision], Answer | None]
"""Asks a person; None: not answered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineResult:
    """What the engine came to."""

    decision: Decision
    state: Literal["kept", "held", "stuck", "reverted", "waiting", "denied"]
    version: Version | None
    """The version that reverts, if there is one."""


def decide(vault: Vault, ref: str, rules: RevertRules) -> Decision:
    """Return the decision on what `ref` points at, with its evidence and preview; nothing is written."""
    return _decide(vault, ref, rules)[0]


def run_engine(
    vault: Vault, ref: str, rules: RevertRules, *, now: dt.datetime, approver: Approver | None = None
) -> EngineResult:
    """Return what the engine decided and did on `ref`. Run again on the same version, it does nothing twice.

    Args:
        now: written into the log and the revert's version; it decides nothing.
        approver: asked where the decision needs a person. Without one, or if it gives None, the decision waits for
            `answer_decision`.

    Raises:
        RefConflictError: the ref moved while the engine was at work; run it again.
        BrokenDecisionLogError: the log was changed; nothing is done.
    """
    _settle(vault, ref, now=now)
    decision, plan = _decide(vault, ref, rules)
    entries = [entry for entry in read_decisions(vault) if entry.id == decision.id]
    if not entries:
        append_entry(vault, DecisionEntry(at=now, id=decision.id, decision=decision))
    if plan is None:
        states: dict[str, Literal["kept", "held", "stuck"]] = {"keep": "kept", "hold": "held"}
        return EngineResult(decision=decision, state=states.get(decision.judgement.action, "stuck"), version=None)
    if decision.judgement.approval == "required":
        answers = [entry.answer for entry in entries if isinstance(entry, AnswerEntry)]
        answer = answers[-1] if answers else _ask(vault, decision, approver, now=now)
        if answer != "approve":
            return EngineResult(decision=decision, state="denied" if answer else "waiting", version=None)
    version = apply_plan(
        vault,
        plan,
        message=decision.judgement.reason,
        author=AUTHOR,
        lineage=Lineage(run_id=decision.id, step="revert"),
        time=now,
    )
    append_entry(vault, OutcomeEntry(at=now, id=decision.id, version=version.id))
    return EngineResult(decision=decision, state="reverted", version=version)


def _decide(vault: Vault, ref: str, rules: RevertRules) -> tuple[Decision, RevertPlan | None]:
    full = ref_target(vault, ref)
    judgement = evaluate_rules(observe_ref(vault, full), rules)
    plan = None
    if judgement.action == "revert":
        plan = plan_revert(vault, full, to=judgement.return_to)
        if plan.tip != judgement.tip:
            raise RefConflictError(f"{full} moved while it was judged.", ref=full, found=plan.tip)
    decision = Decision(
        ref=full,
        rules=digest_json(rules.model_dump(mode="json")),
        judgement=judgement,
        preview=None if plan is None else preview_revert(vault, plan).to_dict(),
    )
    return decision, plan


def _settle(vault: Vault, ref: str, *, now: dt.datetime) -> None:
    """Note the outcome of decisions that were carried out just before a crash."""
    entries = read_decisions(vault)
    noted = {entry.id for entry in entries if isinstance(entry, OutcomeEntry)}
    opened = {
        entry.id
        for entry in entries
        if isinstance(entry, DecisionEntry) and entry.decision.judgement.action == "revert" and entry.id not in noted
    }
    if not opened:
        return
    for version in log(vault, ref_target(vault, ref)):
        if version.lineage.run_id in opened:
            append_entry(vault, OutcomeEntry(at=now, id=version.lineage.run_id, version=version.id))


def _ask(
    vault: Vault, decision: Decision, approver: Approver | None, *, now: dt.datetime
) -> Literal["approve", "deny"] | None:
    answer = approver(decision) if approver is not None else None
    if answer is None:
        return None
    answer_decision(vault, decision.id, answer=answer.answer, by=answer.by, reason=answer.reason, now=now)
    return answer.answer
