"""A newcomer finds any part by guessing: folders say what they are for, names mean something, functions are short."""

from __future__ import annotations

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "birdbone"
MODULES = sorted(SOURCE.rglob("*.py"))
ROOMS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def functions() -> Iterator[tuple[str, int]]:
    """The number of lines of each function's body, its docstring left out."""
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                last = body[-1].end_lineno if body else node.lineno
                yield f"{name_of(module)}:{node.name}", (last or 0) - (body[0].lineno if body else node.lineno) + 1


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_every_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))


def test_every_folder_with_code_is_a_package() -> None:
    folders = {module.parent for module in MODULES}
    assert [name_of(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_owns_and_needs_and_what_is_public(room: str) -> None:
    tree = ast.parse((SOURCE / room / "__init__.py").read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree) or ""
    assert "Owns:" in docstring
    assert "Needs:" in docstring
    assigned = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}  # type: ignore[attr-defined]
    assert "__all__" in assigned


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [name_of(module) for module in MODULES if module.stem in NAMELESS] == []


def test_no_class_has_a_name_that_says_nothing() -> None:
    names = [
        node.name
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name in names if re.search(r"(^Base|Base$|Impl$|^New[A-Z]|V2$)", name)] == []


def test_functions_are_short() -> None:
    lengths = [length for _, length in functions()]
    assert statistics.median(lengths) <= 8
    assert statistics.quantiles(lengths, n=10)[-1] <= 36


def test_every_room_stands_on_a_floor_and_in_the_tour() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = next(contract for contract in contracts if contract["type"] == "layers")
    assert floors["exhaustive"]
    order = [room for layer in floors["layers"] for room in re.findall(r"\w+", layer) if room in ROOMS]
    tour = re.findall(r"^\| (?:\d+|ground) \| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    assert sorted(order) == ROOMS
    assert tour == order


def test_every_room_has_tests() -> None:
    assert [room for room in ROOMS if not list((ROOT / "tests" / room).rglob("test_*.py"))] == []
