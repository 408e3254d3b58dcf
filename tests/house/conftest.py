"""The repository and the command line, as the tests of the house see them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

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
    """The options of each command of `birdbone`, by the command's name; one of a group is named `vault notes add`."""
    from birdbone.cli import app

    return {name: _options_of(command) for name, command in _leaves(typer.main.get_command(app))}


def _leaves(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def _options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}


def find_command(words: list[str], known: Iterable[str]) -> str:
    """Return the command that the words after `birdbone` name: the longest that is known."""
    names = [" ".join(words[:count]) for count in (3, 2, 1)]
    return next((name for name in names if name in known), names[-1])
