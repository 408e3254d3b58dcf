"""A workspace for each test, the command line as a person calls it, and runs as the pipeline records them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from birdbone.cli import app
from birdbone.core import Workspace, make_workspace

from .recorded import record_run

Call = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, outside of any workspace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("BIRDBONE_DATABASE_URL", "BIRDBONE_NUM_THREADS", "EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def workspace(folder: Path) -> Workspace:
    """A new workspace in the current folder."""
    return make_workspace()[0]


@pytest.fixture(scope="session")
def command() -> Any:
    """The tree of all commands, which a process builds once: that takes as long as many a command."""
    return get_command(app)


@pytest.fixture
def call(command: Any, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call `birdbone` with words; the result has `exit_code`, `stdout` and `stderr`."""
    monkeypatch.setattr("typer.testing._get_command", lambda _app: command)
    runner = CliRunner()

    def invoke(*words: str, **options: Any) -> Result:
        return runner.invoke(app, list(words), **options)

    return invoke


@pytest.fixture
def finished_run(workspace: Workspace) -> str:
    """The id of a run that undid two waves and rejected a candidate before it passed."""
    return record_run(workspace, "demo-20260101-000000-aaaa")
