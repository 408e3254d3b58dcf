"""Workspaces, the tiny recipe, processes to be killed, and one uninterrupted run that all others are compared with."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from birdbone.core import Workspace, find_workspace, make_workspace
from birdbone.pipeline import Recipe, load_recipe, resolve_recipe, running, service
from birdbone.pipeline.service import RunView

from .postgresql import run_cluster, why_not
from .processes import Server

RECIPES = Path(__file__).parents[2] / "recipes"

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Iterator[Server]:
    """The server of processes that go on with a run."""
    with Server(tmp_path_factory.mktemp("processes"), model_folder=tiny_model_folder) as server:
        yield server


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh workspace."""
    return make_workspace(tmp_path)[0]


@pytest.fixture(scope="session")
def make_recipe(tiny_model_folder: Path) -> MakeRecipe:
    """The tiny recipe on the tiny model, with changes as `--set` makes them."""

    def make(*overrides: str, **changes: str) -> Recipe:
        raw = load_recipe(RECIPES / "tiny.yaml")
        return resolve_recipe(raw, overrides=overrides, **{"model": str(tiny_model_folder), **changes})

    return make


@pytest.fixture(scope="session")
def reference(
    tmp_path_factory: pytest.TempPathFactory, processes: Server, make_recipe: MakeRecipe
) -> tuple[Workspace, RunView]:
    """The tiny recipe run once without a break. Read it, do not write to it: all tests share it."""
    base = tmp_path_factory.getbasetemp()
    # Under xdist each worker has a folder of its own below the session's.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "reference-run"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            run_id = running.create_run(make_workspace(folder)[0], make_recipe())
            ending = processes.start(folder, run_id).wait()
            assert (ending.status, ending.error) == (0, None)
            (folder / "done").write_text(run_id)
    workspace = find_workspace(folder)
    return workspace, service.view_run(workspace, "latest")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a private PostgreSQL server, without a database's name."""
    if reason := why_not():
        pytest.skip(reason)
    with run_cluster() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """The URL of an empty PostgreSQL database."""
    name = f"birdbone_{secrets.token_hex(4)}"
    with psycopg.connect(f"{postgresql_server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{postgresql_server}/{name}"
