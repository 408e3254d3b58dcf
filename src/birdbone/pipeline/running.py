"""Use cases that do the work of a run: they load torch and DBOS, so a door imports them when a run starts.

`service.py` has the use cases that only read and tidy.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from birdbone.core import BirdboneError, Workspace, new_run_id, write_json, write_yaml
from birdbone.core.database import connect
from birdbone.pipeline import repository
from birdbone.pipeline.computing import settle_dtype, use_machine
from birdbone.pipeline.durable import ProgressListener, execute
from birdbone.pipeline.environment import describe_environment
from birdbone.pipeline.errors import RunBusyError, RunNotResumableError
from birdbone.pipeline.recipe import Recipe
from birdbone.pipeline.report import write_report
from birdbone.pipeline.service import find_run, view_run
from birdbone.pipeline.worker import Worker
from birdbone.vault import open_vault
from birdbone.watch import choose_num_threads, read_metrics

REPORT_NAME = "report.html"


def start_run(workspace: Workspace, recipe: Recipe, *, listener: ProgressListener) -> str:
    """Make a run of a recipe, do it to its end, and return its id.

    Threads and dtype are settled now and written into the run, so that a resume computes the same bytes.

    Raises:
        BirdboneError: a step failed or the run was stopped; its id is in the error's fields, and it can be resumed.
    """
    run_id = create_run(workspace, recipe)
    _execute(workspace, run_id, listener=listener, is_resume=False)
    return run_id


def create_run(workspace: Workspace, recipe: Recipe) -> str:
    """Store a run that has not begun, its resolved recipe and its environment, and return its id."""
    settled = settle(workspace, recipe)
    run_id = new_run_id(recipe.name)
    folder = workspace.run_folder(run_id)
    folder.mkdir(parents=True)
    environment = describe_environment()
    values = settled.model_dump(mode="json")
    write_yaml(values, folder / "recipe.yaml")
    write_json(folder / "environment.json", environment)
    with connect(workspace.database_url).begin() as connection:
        repository.insert_run(connection, run_id=run_id, name=recipe.name, recipe=values, environment=environment)
    return run_id


def resume_run(workspace: Workspace, name: str, *, listener: ProgressListener) -> str:
    """Go on with a run at the step it was in, and return its id.

    Raises:
        RunNotFoundError, RunNotResumableError: there is none, or it is done.
    """
    run = find_run(workspace, name)
    if run.status == "done":
        raise RunNotResumableError(f"The run {run.id} is done.", run_id=run.id)
    _execute(workspace, run.id, listener=listener, is_resume=True)
    return run.id


def settle(workspace: Workspace, recipe: Recipe) -> Recipe:
    """Return the recipe with threads and dtype filled in: threads from cores and load, dtype by timing."""
    threads = recipe.num_threads or workspace.config.num_threads or choose_num_threads()
    dtype = settle_dtype(recipe.dtype, num_threads=threads)
    return recipe.model_copy(update={"num_threads": threads, "dtype": dtype})


def write_run_report(workspace: Workspace, name: str) -> Path:
    """Write the page of a run, whatever its state, into its folder and return the path."""
    view = view_run(workspace, name)
    metrics = read_metrics(connect(workspace.database_url), view.run.id)
    return write_report(view, view.folder / REPORT_NAME, metrics=metrics)


def _execute(workspace: Workspace, run_id: str, *, listener: ProgressListener, is_resume: bool) -> None:
    run = find_run(workspace, run_id)
    recipe = Recipe.model_validate(run.recipe)
    use_machine(recipe.num_threads or 1)
    vault = open_vault(workspace.vault_folder)
    worker = Worker(workspace=workspace, vault=vault, database_url=workspace.database_url)
    try:
        execute(
            worker,
            run_id=run_id,
            recipe=recipe,
            database_url=workspace.database_url,
            listener=listener,
            is_resume=is_resume,
        )
    except RunBusyError:
        raise
    except BirdboneError:
        # The run's own error is the one to tell; a page that cannot be written must not hide it.
        with contextlib.suppress(BirdboneError, OSError):
            write_run_report(workspace, run_id)
        raise
    write_run_report(workspace, run_id)
