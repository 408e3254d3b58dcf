"""PostgreSQL by URL and nothing else changed: the same run, killed and resumed, ends in the same bytes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from birdbone.core import Workspace, find_workspace, make_workspace, write_yaml
from birdbone.core.database import connect
from birdbone.pipeline import running, service
from birdbone.pipeline.service import RunView

from .conftest import MakeRecipe
from .processes import Server
from .runs import folder_of, go_on


@pytest.fixture
def workspace(tmp_path: Path, postgresql_url: str) -> Workspace:
    """A fresh workspace whose settings name the database."""
    fresh, _ = make_workspace(tmp_path)
    write_yaml({"database_url": postgresql_url}, fresh.folder / "config.yaml")
    return find_workspace(tmp_path)


def test_a_run_on_postgresql_that_is_killed_and_resumed_ends_in_the_same_digests(
    reference: tuple[Workspace, RunView],
    processes: Server,
    workspace: Workspace,
    make_recipe: MakeRecipe,
    postgresql_url: str,
) -> None:
    assert workspace.database_url == postgresql_url
    run_id = running.create_run(workspace, make_recipe())
    ending = processes.start(folder_of(workspace), run_id, kill_in="wave-2", delay=0.1).wait()
    assert ending.status == -signal.SIGKILL
    view = go_on(processes, workspace, run_id)
    assert view.run.status == "done"
    assert view.artefacts == reference[1].artefacts
    rows = [(row.step, row.name, row.artefact) for row in view.measurements]
    assert rows == [(row.step, row.name, row.artefact) for row in reference[1].measurements]
    assert list(workspace.folder.glob("*.db*")) == []


def test_what_a_run_left_on_postgresql_can_be_listed_and_removed(workspace: Workspace, make_recipe: MakeRecipe) -> None:
    run_id = running.start_run(workspace, make_recipe(until="seed"), listener=lambda *_: None)
    assert service.find_run(workspace, run_id).status == "done"
    assert service.read_log(workspace, run_id)[-1].kind == "run_done"
    service.remove_runs(workspace, [run_id], is_dry_run=False)
    assert run_id not in {run.id for run in service.list_runs(workspace)}
    assert connect(workspace.database_url).dialect.name == "postgresql"
