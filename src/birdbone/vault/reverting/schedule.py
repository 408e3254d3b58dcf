"""Reverts that wait for a time or a condition: one small JSON record each, in `reverts/scheduled/`.

A revert that is carried out carries its record's id as lineage. So if a crash came between the commit and the note in
the record, the commit is found the next time and only the note is written: it happens once.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError

from birdbone.core.digest import digest_json
from birdbone.core.files import write_json
from birdbone.core.schema import Strict
from birdbone.vault.errors import (
    BadRevertError,
    DecisionError,
    NothingToRevertError,
    RefConflictError,
    RevertConflictError,
    UnknownNameError,
    UnsupportedFormatError,
)
from birdbone.vault.folder import Vault, explain_write_errors
from birdbone.vault.history.commits import log
from birdbone.vault.records import Lineage
from birdbone.vault.refs.lookup import resolve
from birdbone.vault.refs.refs import read_ref, ref_target
from birdbone.vault.reverting.apply import apply_plan
from birdbone.vault.reverting.masks import Conflicts, OnlyMask
from birdbone.vault.reverting.observations import observe_ref
from birdbone.vault.reverting.plan import RevertPlan, plan_revert
from birdbone.vault.reverting.rules import SingleRule
from birdbone.vault.reverting.selection import Selection
from birdbone.vault.reverting.violations import find_violation

_STEP = "scheduled-revert"


class RevertOrder(Strict):
    """What is to be reverted, as `revert` takes it."""

    ref: str
    """The ref."""
    undo: str | None = None
    """A version, or `A..B`."""
    to: str | None = None
    """A version of the ref's history. Exactly one of the two is given."""
    tensors: tuple[str, ...] = ()
    """Shell patterns over tensor names."""
    layers: tuple[int | str, ...] = ()
    """Numbers, or text such as `4-7`."""
    experts: tuple[int | str, ...] = ()
    """Numbers, or dotted parts of names."""
    files: tuple[str, ...] = ()
    """Shell patterns over files that are no checkpoints."""
    only_mask: OnlyMask | None = None
    """`values` or `zeros`."""
    on_conflict: Conflicts = "refuse"
    """What to do with names that a later version changed too."""
    message: str = ""
    """Why."""


class AtTime(Strict):
    """Wait for a time."""

    kind: Literal["time"] = "time"
    """`time`"""
    at: AwareDatetime
    """When it is due."""


class WhenRule(Strict):
    """Wait until a rule fires at what the ref points at."""

    kind: Literal["rule"] = "rule"
    """`rule`"""
    rule: SingleRule
    """A threshold or a gate."""


class ScheduledRevert(Strict):
    """A revert that waits, or what became of it."""

    format: Literal["birdbone.scheduled-revert/1"] = "birdbone.scheduled-revert/1"
    """Generation of this record."""
    order: RevertOrder
    """What is to be reverted; its versions are full ids."""
    when: Annotated[AtTime | WhenRule, Field(discriminator="kind")]
    """What it waits for."""
    made_at: AwareDatetime
    """When it was scheduled."""
    made_by: str
    """By whom."""
    state: Literal["waiting", "done", "failed", "cancelled"] = "waiting"
    """What became of it."""
    closed_at: AwareDatetime | None = None
    """When it ceased to wait."""
    note: str = ""
    """Why it failed or was cancelled, and by whom."""
    version: str | None = None
    """The version that reverts."""

    @property
    def id(self) -> str:
        """Digest of what was scheduled, when and by whom; it stays as the state changes."""
        return digest_json(self.model_dump(mode="json", include={"order", "when", "made_at", "made_by"}))


def schedule_revert(
    vault: Vault, order: RevertOrder, when: AtTime | WhenRule, *, now: dt.datetime, by: str
) -> ScheduledRevert:
    """Return the record of a revert that waits; it is durable then. Names of versions are settled now.

    Raises:
        UnknownNameError, BadRevertError: the order could not be carried out as things stand.
    """
    settled = order.model_copy(
        update={
            "ref": ref_target(vault, order.ref),
            "undo": None if order.undo is None else "..".join(resolve(vault, end) for end in order.undo.split("..")),
            "to": None if order.to is None else resolve(vault, order.to),
        }
    )
    with contextlib.suppress(NothingToRevertError):  # there may be something by then
        plan_order(vault, settled.model_copy(update={"on_conflict": "keep"}))
    record = ScheduledRevert(order=settled, when=when, made_at=now, made_by=by)
    _write(vault, record)
    return record


def plan_order(vault: Vault, order: RevertOrder) -> RevertPlan:
    """Return what an order would do now; raises what `plan_revert` does."""
    selection = Selection(tensors=order.tensors, layers=order.layers, experts=order.experts, files=order.files)
    return plan_revert(
        vault,
        order.ref,
        undo=order.undo,
        to=order.to,
        selection=selection,
        only_mask=order.only_mask,
        on_conflict=order.on_conflict,
    )


def scheduled_reverts(vault: Vault) -> list[ScheduledRevert]:
    """Return all records, whatever became of them, in the order in which they were made.

    Raises:
        UnsupportedFormatError: a record is not understood.
    """
    found = [_read(path) for path in _folder(vault).glob("*.json") if not path.name.startswith(".")]
    return sorted(found, key=lambda record: (record.made_at, record.id))


def due_reverts(vault: Vault, now: dt.datetime) -> list[ScheduledRevert]:
    """Return the reverts that wait no longer: their time has come, or their rule fires."""
    return [record for record in scheduled_reverts(vault) if record.state == "waiting" and _is_due(vault, record, now)]


def execute_due_reverts(vault: Vault, now: dt.datetime) -> list[ScheduledRevert]:
    """Return the records of all reverts that were due, each carried out once or marked as failed with the reason.

    One whose ref moved at that moment stays waiting.
    """
    return [_execute(vault, record, now) for record in due_reverts(vault, now)]


def cancel_revert(vault: Vault, revert_id: str, *, now: dt.datetime, by: str, reason: str) -> ScheduledRevert:
    """Return the record of a revert that will not happen.

    Raises:
        DecisionError: none of this id waits.
    """
    for record in scheduled_reverts(vault):
        if record.id == revert_id and record.state == "waiting":
            return _close(vault, record, state="cancelled", now=now, note=f"{by}: {reason}")
    raise DecisionError(f"No scheduled revert {revert_id} is waiting.", id=revert_id)


def _is_due(vault: Vault, record: ScheduledRevert, now: dt.datetime) -> bool:
    if isinstance(record.when, AtTime):
        return record.when.at <= now
    if read_ref(vault, record.order.ref) is None:
        return True  # carrying it out will say so
    observations = observe_ref(vault, record.order.ref).observations
    return find_violation(record.when.rule, observations).status == "fired"


def _execute(vault: Vault, record: ScheduledRevert, now: dt.datetime) -> ScheduledRevert:
    lineage = Lineage(run_id=record.id, step=_STEP)
    try:
        for known in log(vault, record.order.ref):
            if known.lineage == lineage:
                return _close(vault, record, state="done", now=now, version=known.id)
        plan = plan_order(vault, record.order)
        version = apply_plan(
            vault, plan, message=record.order.message, author=record.made_by, lineage=lineage, time=now
        )
    except NothingToRevertError as error:
        return _close(vault, record, state="done", now=now, note=error.message)
    except RefConflictError:
        return record
    except (BadRevertError, RevertConflictError, UnknownNameError) as error:
        return _close(vault, record, state="failed", now=now, note=f"{error.code}: {error.message}")
    return _close(vault, record, state="done", now=now, version=version.id)


def _close(
    vault: Vault,
    record: ScheduledRevert,
    *,
    state: Literal["done", "failed", "cancelled"],
    now: dt.datetime,
    note: str = "",
    version: str | None = None,
) -> ScheduledRevert:
    closed = record.model_copy(update={"state": state, "closed_at": now, "note": note, "version": version})
    _write(vault, closed)
    return closed


def _folder(vault: Vault) -> Path:
    return vault.folder / "reverts" / "scheduled"


def _write(vault: Vault, record: ScheduledRevert) -> None:
    path = _folder(vault) / f"{record.id.removeprefix('b3:')}.json"
    with explain_write_errors(path):
        write_json(path, record.model_dump(mode="json"))


def _read(path: Path) -> ScheduledRevert:
    try:
        return ScheduledRevert.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UnsupportedFormatError(f"{path.name} is no scheduled revert.", path=str(path)) from error
