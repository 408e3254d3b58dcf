"""Doing runs, here and in processes of their own, and looking at what they left."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from birdbone.core import Workspace
from birdbone.pipeline import Recipe, running, service
from birdbone.pipeline.service import RunView

from .processes import Child, Ending, Server


def folder_of(workspace: Workspace) -> Path:
    return workspace.folder.parent


def try_on(processes: Server, workspace: Workspace, run_id: str) -> Ending:
    """Go on with a run in a process of its own, however that ends."""
    return processes.start(folder_of(workspace), run_id).wait()


def go_on(processes: Server, workspace: Workspace, run_id: str) -> RunView:
    """Go on with a run in a process of its own, to the end."""
    ending = try_on(processes, workspace, run_id)
    assert (ending.status, ending.error) == (0, None)
    return service.view_run(workspace, run_id)


def run_here(workspace: Workspace, recipe: Recipe) -> RunView:
    """Do a recipe in this process, to the end."""
    return service.view_run(workspace, running.start_run(workspace, recipe, listener=lambda *_: None))


def fail(processes: Server, workspace: Workspace, run_id: str) -> dict[str, Any]:
    """Go on with a run in a process of its own and return the error with which it failed, as the run keeps it."""
    ending = try_on(processes, workspace, run_id)
    run = service.find_run(workspace, run_id)
    assert ending.error is not None
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == ending.error["code"]
    return run.error


def wait_for_step(workspace: Workspace, run_id: str, label: str, child: Child) -> None:
    """Return when a step is in hand."""
    while label not in {step.label for step in service.view_run(workspace, run_id).steps}:
        assert child.is_alive()
        time.sleep(0.02)


def execute_sql(workspace: Workspace, text: str, *, database: str = "birdbone.db") -> int:
    """Return how many rows a statement changed."""
    with sqlite3.connect(workspace.folder / database, timeout=30) as connection:
        return connection.execute(text).rowcount
