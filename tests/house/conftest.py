"""The repository and the command line, as the tests of the house see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository_files() -> list[Path]:
    """Every file that git keeps or would keep."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.fixture(scope="session")
def cli_commands() -> dict[str, set[str]]:
    """The options of each command of `birdbone`, by the command's name."""
    from birdbone.cli import app

    group = typer.main.get_command(app)
    return {
        name: {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }
