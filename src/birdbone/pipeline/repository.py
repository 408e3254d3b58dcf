"""All queries on runs, steps and measurements. Nothing here commits: the caller owns the transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, select, update

from birdbone.core import Measurement
from birdbone.core.database import in_utc
from birdbone.pipeline.models import measurements, runs, steps

RunStatus = Literal["running", "stopped", "failed", "done"]
StepStatus = Literal["running", "failed", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as stored."""

    id: str
    name: str
    status: RunStatus
    recipe: dict[str, Any]
    environment: dict[str, Any]
    created_at: dt.datetime
    ended_at: dt.datetime | None
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step, or one round of a step, as stored."""

    run_id: str
    label: str
    kind: str
    position: int
    status: StepStatus
    started_at: dt.datetime
    ended_at: dt.datetime | None
    num_tries: int
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None


def now() -> dt.datetime:
    """Return the current time in UTC."""
    return dt.datetime.now(dt.UTC)


def insert_run(
    connection: Connection, *, run_id: str, name: str, recipe: dict[str, Any], environment: dict[str, Any]
) -> None:
    """Add a run that is about to start."""
    connection.execute(
        runs.insert().values(
            id=run_id, name=name, status="running", recipe=recipe, environment=environment, created_at=now()
        )
    )


def set_run_status(
    connection: Connection, run_id: str, status: RunStatus, *, error: dict[str, Any] | None = None
) -> None:
    """Record where a run stands; an ended run also gets its time."""
    ended_at = now() if status in ("done", "failed", "stopped") else None
    connection.execute(update(runs).where(runs.c.id == run_id).values(status=status, ended_at=ended_at, error=error))


def find_run(connection: Connection, run_id: str) -> RunRow | None:
    """Return the run of that id, or None."""
    row = connection.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
    return None if row is None else _run(row)


def find_runs_by_prefix(connection: Connection, prefix: str) -> list[RunRow]:
    """Return the runs whose id begins with `prefix`, newest first."""
    query = select(runs).where(runs.c.id.startswith(prefix, autoescape=True)).order_by(runs.c.created_at.desc())
    return [_run(row) for row in connection.execute(query)]


def list_runs(connection: Connection) -> list[RunRow]:
    """Return all runs, newest first."""
    return [_run(row) for row in connection.execute(select(runs).order_by(runs.c.created_at.desc()))]


def delete_run(connection: Connection, run_id: str) -> None:
    """Remove a run with its steps and measurements."""
    for table in (measurements, steps):
        connection.execute(delete(table).where(table.c.run_id == run_id))
    connection.execute(delete(runs).where(runs.c.id == run_id))


def start_step(connection: Connection, *, run_id: str, label: str, kind: str, position: int) -> None:
    """Record that a step is in hand; one that was in hand before counts one try more."""
    key = (steps.c.run_id == run_id) & (steps.c.label == label)
    before = connection.execute(select(steps.c.num_tries).where(key)).scalar_one_or_none()
    connection.execute(delete(steps).where(key))
    connection.execute(
        steps.insert().values(
            run_id=run_id,
            label=label,
            kind=kind,
            position=position,
            status="running",
            started_at=now(),
            num_tries=(before or 0) + 1,
        )
    )


def set_step_progress(connection: Connection, run_id: str, label: str, progress: dict[str, Any]) -> None:
    """Record how far the step in hand is."""
    key = (steps.c.run_id == run_id) & (steps.c.label == label)
    connection.execute(update(steps).where(key).values(progress=progress))


def end_step(
    connection: Connection,
    run_id: str,
    label: str,
    *,
    result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> None:
    """Record that a step ended, with what it gave or why it failed."""
    key = (steps.c.run_id == run_id) & (steps.c.label == label)
    status = "done" if error is None else "failed"
    connection.execute(
        update(steps).where(key).values(status=status, ended_at=now(), result=result, error=error, progress=None)
    )


def list_steps(connection: Connection, run_id: str) -> list[StepRow]:
    """Return the steps of a run in the order in which they ran."""
    query = select(steps).where(steps.c.run_id == run_id).order_by(steps.c.position)
    return [StepRow(**_values(row)) for row in connection.execute(query)]


def replace_measurements(
    connection: Connection, *, run_id: str, step: str, rows: Iterable[Measurement]
) -> list[Measurement]:
    """Store the figures of one step in place of any that an earlier try of it stored, and return them completed."""
    key = (measurements.c.run_id == run_id) & (measurements.c.step == step)
    connection.execute(delete(measurements).where(key))
    complete = [row.model_copy(update={"run_id": run_id, "step": step, "taken_at": now()}) for row in rows]
    if complete:
        connection.execute(measurements.insert(), [row.model_dump() for row in complete])
    return complete


def list_measurements(connection: Connection, run_id: str) -> list[Measurement]:
    """Return every figure of a run in the order in which they were taken."""
    query = select(measurements).where(measurements.c.run_id == run_id).order_by(measurements.c.id)
    rows = [_values(row) for row in connection.execute(query)]
    return [Measurement.model_validate({key: row[key] for key in row if key != "id"}) for row in rows]


def _run(row: Row[Any]) -> RunRow:
    return RunRow(**_values(row))


def _values(row: Row[Any]) -> dict[str, Any]:
    return {key: in_utc(value) if isinstance(value, dt.datetime) else value for key, value in row._mapping.items()}
