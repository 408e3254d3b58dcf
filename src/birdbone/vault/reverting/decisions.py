"""The log of decisions: what the engine found, what a person answered, what came of it.

`reverts/decisions.jsonl` in the store has one JSON object a line, appended under the store's lock and flushed before
anything is done. Each entry carries the digest of the one before it, so a line that was changed, taken out or put in
shows; lines cut off at the end do not, which is why the newest digest may be kept elsewhere. A last line that a crash
tore was never acknowledged; the next append takes it away.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, JsonValue, TypeAdapter, ValidationError, field_validator

from birdbone.core.digest import digest_json
from birdbone.core.schema import Strict
from birdbone.vault.errors import BrokenDecisionLogError, DecisionError
from birdbone.vault.folder import Vault, explain_write_errors, hold_lock, sync_folder
from birdbone.vault.journal import append_line, canonical_line, read_journal
from birdbone.vault.reverting.findings import Judgement


class Decision(Strict):
    """A judgement on a ref, with what would follow. It holds no clock."""

    ref: str
    """Full name of the ref."""
    rules: str
    """Digest of the rules."""
    judgement: Judgement
    """What was found, and what should be done."""
    preview: dict[str, JsonValue] | None
    """What the revert would change; None where nothing is to be reverted."""

    @property
    def id(self) -> str:
        """Digest of all but the preview, which other refs have a part in: same history and rules, same id."""
        return digest_json(self.model_dump(mode="json", exclude={"preview"}))


class _Entry(Strict):
    at: AwareDatetime
    """When, in UTC, as the caller said."""
    previous: str | None = None
    """Digest of the entry before this one."""

    @field_validator("at")
    @classmethod
    def _in_utc(cls, at: dt.datetime) -> dt.datetime:
        return at.astimezone(dt.UTC)

    @property
    def digest(self) -> str:
        """Digest of the entry, its link to the one before included."""
        return digest_json(self.model_dump(mode="json"))


class DecisionEntry(_Entry):
    """The engine came to a decision."""

    kind: Literal["decision"] = "decision"
    """`decision`"""
    id: str
    """Id of the decision."""
    decision: Decision
    """The decision."""


class AnswerEntry(_Entry):
    """A person answered."""

    kind: Literal["answer"] = "answer"
    """`answer`"""
    id: str
    """Id of the decision."""
    answer: Literal["approve", "deny"]
    """What they said."""
    by: str = Field(min_length=1)
    """Who."""
    reason: str
    """Why."""


class OutcomeEntry(_Entry):
    """A decision was carried out."""

    kind: Literal["outcome"] = "outcome"
    """`outcome`"""
    id: str
    """Id of the decision."""
    version: str
    """The version that reverts."""


Entry = Annotated[DecisionEntry | AnswerEntry | OutcomeEntry, Field(discriminator="kind")]
_ENTRY: TypeAdapter[DecisionEntry | AnswerEntry | OutcomeEntry] = TypeAdapter(Entry)


def decision_log(vault: Vault) -> Path:
    """Return where the log is, or would be."""
    return vault.folder / "reverts" / "decisions.jsonl"


def read_decisions(vault: Vault) -> list[Entry]:
    """Return all entries, oldest first, each checked against the one before.

    Raises:
        BrokenDecisionLogError: an entry is damaged, or does not follow the one before it.
    """
    return list(_read(decision_log(vault)))


def append_entry(vault: Vault, entry: Entry) -> Entry:
    """Return the entry as it was appended; it is durable then.

    Raises:
        BrokenDecisionLogError: the log was changed; nothing is appended to it.
    """
    with hold_lock(vault):
        return _append(vault, entry, known=read_decisions(vault))


def answer_decision(
    vault: Vault, decision_id: str, *, answer: Literal["approve", "deny"], by: str, reason: str, now: dt.datetime
) -> Entry:
    """Return the entry that records a person's answer. `run_engine` acts on it the next time it runs.

    Raises:
        DecisionError: there is no such decision, it asks nobody, or it was answered before.
    """
    with hold_lock(vault):
        known = read_decisions(vault)
        entries = [entry for entry in known if entry.id == decision_id]
        decisions = [entry for entry in entries if isinstance(entry, DecisionEntry)]
        if not decisions or decisions[0].decision.judgement.approval == "none":
            raise DecisionError(f"No decision {decision_id} waits for an answer.", id=decision_id)
        if len(entries) > len(decisions):
            raise DecisionError(f"Decision {decision_id} was answered before.", id=decision_id)
        return _append(vault, AnswerEntry(at=now, id=decision_id, answer=answer, by=by, reason=reason), known=known)


def pending_decisions(vault: Vault) -> list[Decision]:
    """Return the decisions that wait for a person, oldest first. One whose ref has moved on is among them."""
    entries = read_decisions(vault)
    settled = {entry.id for entry in entries if not isinstance(entry, DecisionEntry)}
    return [
        entry.decision
        for entry in entries
        if isinstance(entry, DecisionEntry)
        and entry.decision.judgement.approval == "required"
        and entry.id not in settled
    ]


def _append(vault: Vault, entry: Entry, *, known: list[Entry]) -> Entry:
    linked = entry.model_copy(update={"previous": known[-1].digest if known else None})
    path = decision_log(vault)
    with explain_write_errors(path):
        if not path.parent.exists():
            path.parent.mkdir()
            sync_folder(vault.folder)
    append_line(path, canonical_line(linked.model_dump(mode="json")), torn=read_journal(path).torn)
    return linked


def _read(path: Path) -> Iterator[Entry]:
    previous = None
    for number, line in enumerate(read_journal(path).lines, start=1):
        entry = _parse(line)
        if entry is None or entry.previous != previous:
            why = "does not follow the line before it" if entry is not None else "is damaged"
            raise BrokenDecisionLogError(f"Line {number} of {path.name} {why}.", path=str(path), line=number)
        previous = entry.digest
        yield entry


def _parse(line: bytes) -> Entry | None:
    try:
        return _ENTRY.validate_json(line)
    except ValidationError:
        return None
