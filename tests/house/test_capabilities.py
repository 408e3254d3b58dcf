"""`docs/capabilities.md` is true: every id of the design is there, and what a delivered row names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import find_command

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "capabilities.md"
UNDELIVERED = "not delivered yet"
IDS = [
    *(f"B-{number:02}" for number in range(1, 54)),
    *(f"F-{number}" for number in range(1, 9)),
    *(f"F-{number:02}" for number in range(9, 16)),
    *(f"S-{number:02}" for number in range(1, 13)),
    *(f"T-{number:02}" for number in range(1, 15)),
]
ROOMS = {path.parent.name for path in (ROOT / "src" / "birdbone").glob("*/__init__.py")}


def read_rows() -> dict[str, list[str]]:
    rows = re.findall(r"^\| ([BFST]-\d+) \|(.*)\|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


ROWS = read_rows()
DELIVERED = {name: cells[-3:] for name, cells in ROWS.items() if cells[-3] != UNDELIVERED}


def test_every_id_of_the_design_stands_once_and_in_order() -> None:
    assert list(ROWS) == IDS
    assert len(re.findall(r"^\| [BFST]-\d", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)) == len(IDS)


@pytest.mark.parametrize("name", sorted(set(IDS) - set(DELIVERED)))
def test_an_undelivered_row_promises_nothing(name: str) -> None:
    assert ROWS[name][-3:] == [UNDELIVERED, "", ""]


@pytest.mark.parametrize("name", sorted(DELIVERED))
def test_a_delivered_row_names_rooms_that_exist(name: str) -> None:
    rooms = re.findall(r"`(\w+)`", DELIVERED[name][0])
    assert rooms or DELIVERED[name][0] == "all"
    assert set(rooms) <= ROOMS


@pytest.mark.parametrize("name", sorted(DELIVERED))
def test_a_delivered_row_names_tests_or_benchmarks_that_exist(name: str) -> None:
    paths = re.findall(r"`([^`]+)`", DELIVERED[name][2])
    assert paths
    assert [path for path in paths if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("name", sorted(DELIVERED))
def test_a_delivered_row_names_a_command_that_exists(name: str, cli_commands: dict[str, set[str]]) -> None:
    command = re.findall(r"`([^`]+)`", DELIVERED[name][1])[0].split()
    if command[0] == "make":
        assert re.search(rf"^{command[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    else:
        assert command[0] == "birdbone"
        name = find_command(command[1:], cli_commands)
        assert name in cli_commands
        assert {word for word in command if word.startswith("--")} <= cli_commands[name]
