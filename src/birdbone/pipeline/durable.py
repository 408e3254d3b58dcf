"""Durable execution of a run on DBOS.

Theory of operation. A run is one DBOS workflow whose id is the run's id; every step, and every wave, is one DBOS step
whose result is plain data. When the process dies, the workflow stays PENDING in the database. The next process that
opens the run (same executor id) replays the workflow: finished steps give their stored results, the step that was in
hand runs again from its start, and as steps are pure functions of artefacts and settings it ends in the same bytes.

Five rules keep that true:

- A step stores artefacts in the vault first, then its row, figures and events in one transaction, and only then does
  DBOS record its result. A crash between any two repeats the step, which rewrites the same rows.
- A failure or a stop must not end the workflow, or it could not be resumed. Both therefore leave it as `_Halt`, which
  is no `Exception`: DBOS lets it through and the workflow stays PENDING.
- What comes next, and by which settings, follows from the results before alone (`walk.py`): a retry's changes of the
  recipe are part of the result of the step that asks for it.
- Processes that share a database must not take each other's runs: DBOS hands a workflow that is to be recovered to any
  executor of the same application version. So the version, like the executor, is the run's id.
- The workflow runs in a thread of DBOS. The caller waits on `_Outcome`, so that Ctrl-C reaches the main thread, which
  asks the step to stop at its next progress report.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from birdbone.core import BirdboneError
from birdbone.core.database import connect
from birdbone.core.files import raise_if_disk_full
from birdbone.core.outbox import publish
from birdbone.pipeline import repository
from birdbone.pipeline.context import StepResult
from birdbone.pipeline.errors import OutOfMemoryError, RunStoppedError, StepFailedError
from birdbone.pipeline.lock import hold_run
from birdbone.pipeline.recipe import Recipe
from birdbone.pipeline.walk import walk
from birdbone.pipeline.worker import StepJob, Worker

ProgressListener = Callable[[str, str, int, int], None]
_APPLICATION = "birdbone"
_PROGRESS_SECONDS = 1.0
_LISTENER_SECONDS = 0.2  # a run waits for DBOS's listener when it ends


class _Halt(BaseException):
    """Leaves the workflow without ending it."""


@dataclass(slots=True, kw_only=True)
class _Session:
    """The one run that this process works on."""

    worker: Worker
    engine: Engine
    run_id: str
    recipe: Recipe
    listener: ProgressListener
    is_stop_asked: threading.Event = field(default_factory=threading.Event)
    outcome: queue.Queue[BaseException | None] = field(default_factory=queue.Queue)


_session: _Session | None = None


def execute(
    worker: Worker,
    *,
    run_id: str,
    recipe: Recipe,
    database_url: str,
    listener: ProgressListener = lambda _label, _what, _done, _total: None,
    is_resume: bool,
) -> None:
    """Run a recipe to its end, or go on with it; return when it is done.

    Args:
        listener: called with the step's label, what it does, how much is done, and of how much.

    Raises:
        RunStoppedError: Ctrl-C or SIGTERM; the run can be resumed.
        RunBusyError: another process holds the run.
        BirdboneError: a step failed; the run can be resumed.
    """
    global _session
    with hold_run(worker.workspace.run_folder(run_id)):
        _session = _Session(
            worker=worker, engine=connect(database_url), run_id=run_id, recipe=recipe, listener=listener
        )
        _set_status(_session, "running")
        try:
            _launch(database_url, run_id)
            if not is_resume or DBOS.get_workflow_status(run_id) is None:
                with SetWorkflowID(run_id):
                    DBOS.start_workflow(_walk, run_id)
            _wait(_session)
        finally:
            DBOS.destroy(workflow_completion_timeout_sec=0)
            _session = None


def _launch(database_url: str, run_id: str) -> None:
    for name in ("dbos", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # DBOS keeps the stderr that it was imported under, and flushes it here though it may be closed by now.
    logging.getLogger("dbos").handlers = [logging.NullHandler()]
    DBOS(
        config=DBOSConfig(
            name=_APPLICATION,
            system_database_url=_beside(database_url),
            executor_id=run_id,
            application_version=run_id,
            log_level="CRITICAL",
            console_log_level="CRITICAL",
            run_admin_server=False,
            notification_listener_polling_interval_sec=_LISTENER_SECONDS,
        )
    )
    DBOS.launch()


def _beside(database_url: str) -> str:
    """Return where DBOS keeps its tables: a schema of its own in PostgreSQL, a file beside ours for SQLite.

    One SQLite file for both would make the two engines wait for each other's write lock.
    """
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return database_url
    path = Path(url.database)
    name = "durable.db" if path.name == "birdbone.db" else f"{path.stem}-durable.db"
    return url.set(database=str(path.with_name(name))).render_as_string(hide_password=False)


def _wait(session: _Session) -> None:
    while True:
        try:
            error = session.outcome.get(timeout=0.2)
        except queue.Empty:
            continue
        except KeyboardInterrupt:
            if session.is_stop_asked.is_set():
                _set_status(session, "stopped")
                os._exit(130)
            session.is_stop_asked.set()
            continue
        if error is not None:
            raise error
        return


@DBOS.workflow(name="walk_recipe", max_recovery_attempts=None)  # type: ignore[untyped-decorator]
def _walk(run_id: str) -> None:
    """Walk the recipe's steps. Deterministic: what comes next depends on the results of steps alone."""
    session = _session
    if session is None or session.run_id != run_id:
        raise _Halt
    try:
        _walk_steps(session)
        _set_status(session, "done")
    except _Halt:
        raise
    except BaseException as error:
        _fail(session, _known(error))
        raise _Halt from error
    session.outcome.put(None)


def _walk_steps(session: _Session) -> None:
    def do(job: StepJob, recipe: Recipe) -> StepResult:
        return StepResult.model_validate(DBOS.run_step({"name": job.label}, _do, job, recipe))

    walk(session.recipe, run_id=session.run_id, do=do)


def _do(job: StepJob, recipe: Recipe) -> dict[str, Any]:
    """Do one step and record it. What it returns is what DBOS keeps."""
    session = _session
    if session is None:
        raise _Halt
    try:
        _begin(session, job)
        result = session.worker.perform(job, recipe, report_progress=_reporter(session, job.label))
        return _record(session, job, result)
    except BaseException as error:
        _fail(session, _known(error), label=job.label)
        raise _Halt from error


def _begin(session: _Session, job: StepJob) -> None:
    with session.engine.begin() as connection:
        repository.start_step(connection, run_id=job.run_id, label=job.label, kind=job.kind, position=job.position)
        publish(connection, topic=job.run_id, kind="step_started", payload={"label": job.label, "kind": job.kind})


def _record(session: _Session, job: StepJob, result: StepResult) -> dict[str, Any]:
    plain = result.model_dump(mode="json")
    with session.engine.begin() as connection:
        rows = repository.replace_measurements(connection, run_id=job.run_id, step=job.label, rows=result.measurements)
        repository.end_step(connection, job.run_id, job.label, result=plain)
        figures = [{"name": row.name, "value": row.value, "artefact": row.artefact} for row in rows]
        payload = {"label": job.label, "kind": job.kind, "figures": figures, "notes": plain["notes"]}
        publish(connection, topic=job.run_id, kind="step_done", payload=payload)
    return plain


def _fail(session: _Session, error: BirdboneError, *, label: str = "") -> None:
    """Record that a step (or, without a label, the run) failed or was stopped, and hand the error to the caller.

    A database that cannot take the record raises nothing here: an `Exception` that leaves a step is kept by DBOS as the
    step's result, and every resume would give it again.
    """
    is_stop = isinstance(error, RunStoppedError)
    plain = error.to_dict()
    with contextlib.suppress(SQLAlchemyError), session.engine.begin() as connection:
        repository.end_step(connection, session.run_id, label, error=plain)
        status: repository.RunStatus = "stopped" if is_stop else "failed"
        repository.set_run_status(connection, session.run_id, status, error=None if is_stop else plain)
        kind = "run_stopped" if is_stop else "step_failed"
        publish(connection, topic=session.run_id, kind=kind, payload={"label": label, "error": plain})
    session.outcome.put(error)


def _known(error: BaseException) -> BirdboneError:
    """Return `error` as one of ours, with the trace kept for the log."""
    if isinstance(error, BirdboneError):
        return error
    known: BirdboneError
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        known = OutOfMemoryError(f"There was not enough memory: {error}")
    elif isinstance(error, OSError) and (full := _disk_full(error)) is not None:
        known = full
    else:
        known = StepFailedError(f"{type(error).__name__}: {error}", trace="".join(traceback.format_exception(error)))
    known.__cause__ = error
    return known


def _disk_full(error: OSError) -> BirdboneError | None:
    try:
        raise_if_disk_full(error, Path(str(error.filename or "a file")))
    except BirdboneError as full:
        return full
    return None


def _reporter(session: _Session, label: str) -> Callable[[str, int, int], None]:
    last = 0.0

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        if session.is_stop_asked.is_set():
            raise RunStoppedError("The run was stopped.", run_id=session.run_id)
        session.listener(label, what, done, total)
        if time.monotonic() - last >= _PROGRESS_SECONDS:
            last = time.monotonic()
            with session.engine.begin() as connection:
                progress = {"what": what, "done": done, "total": total}
                repository.set_step_progress(connection, session.run_id, label, progress)

    return report


def _set_status(session: _Session, status: repository.RunStatus) -> None:
    with session.engine.begin() as connection:
        repository.set_run_status(connection, session.run_id, status)
        publish(connection, topic=session.run_id, kind=f"run_{status}", payload={})
