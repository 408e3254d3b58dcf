"""The command line as a whole: what starts it, what it promises, and that the page tells of all of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

import birdbone
from birdbone.cli import app
from birdbone.core import ErrorKind, exit_code

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
HEAVY = {"torch", "transformers", "sqlalchemy", "dbos", "pyarrow", "rich"}
GROUP = typer.main.get_command(app)


def leaves(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS: dict[str, Any] = dict(leaves(GROUP))


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("-")}


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["--help"], HEAVY | {"pydantic"}),
        (["--version"], HEAVY | {"pydantic"}),
        (["run", "--help"], HEAVY),  # Typer itself asks pydantic about types
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_version_load_nothing_heavy(words: list[str], absent: set[str]) -> None:
    program = (
        f"import sys\nfrom birdbone.cli import main\nsys.argv = ['birdbone', *{words!r}]\n"
        f"try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"assert not {absent!r} & set(sys.modules), sorted({absent!r} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_version_is_that_of_the_package(call: Any) -> None:
    assert call("--version").stdout == f"birdbone {birdbone.__version__}\n"


def test_no_command_shows_the_help(call: Any) -> None:
    result = call()
    assert "Commands:" in result.output


def test_the_epilog_gives_the_exit_code_of_every_kind_of_error() -> None:
    epilog = app.info.epilog or ""
    assert {kind: int(code) for code, kind in re.findall(r"(\d+) (\w+)", epilog) if kind != "done"} == {
        kind: exit_code(kind) for kind in get_args(ErrorKind)
    }


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_stands_in_the_page(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^### `birdbone {name}\b.*?(?=^##|\Z)", page, flags=re.MULTILINE | re.DOTALL)
    assert f"| `birdbone {name}` |" in page
    assert section is not None
    assert {option for option in options_of(COMMANDS[name]) if f"`{option}" not in section[0]} == set()


def test_every_option_before_the_command_stands_in_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert {option for option in options_of(GROUP) if f"`{option}`" not in page} == set()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_in_one_line_what_it_does(name: str) -> None:
    assert COMMANDS[name].get_short_help_str(limit=60).endswith(".")
    assert "..." not in COMMANDS[name].get_short_help_str(limit=60)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"run", "clean", "init", "export", "eval export"}))
def test_every_reader_speaks_json(name: str) -> None:
    assert "--json" in options_of(COMMANDS[name])


def test_what_libraries_read_when_they_load_is_set_first() -> None:
    program = (
        "import os\nfrom birdbone.cli.edge import prepare_process\nprepare_process()\n"
        "print(*(os.environ[name] for name in ('OMP_WAIT_POLICY', 'TOKENIZERS_PARALLELISM')))\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
    environment |= {"OMP_WAIT_POLICY": "ACTIVE"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "ACTIVE false\n", "a person's own setting wins"
