"""What the pages say is true: links lead somewhere, code runs and prints what is shown, recipes resolve."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from birdbone.core import read_yaml
from birdbone.pipeline.recipe import resolve_recipe

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "birdbone"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(page for folder in ("docs", "examples", "benchmarks") for page in sorted((ROOT / folder).rglob("*.md"))),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    return FENCE.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_local_link_leads_to_a_file(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(kind == "python" for kind, _ in blocks(page))], ids=name_of
)
def test_python_blocks_run_and_print_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__page__"}
    printed = ""
    for kind, text in blocks(page):
        if kind == "python":
            stream = io.StringIO()
            with contextlib.redirect_stdout(stream):
                exec(compile(text, name_of(page), "exec"), names)
            printed = stream.getvalue()
        elif kind == "output":
            assert printed == text


def test_code_blocks_say_what_they_are() -> None:
    """A block without a language would escape the checks above."""
    known = {"python", "output", "yaml", "sh", "text", "bibtex", "json"}
    assert {(name_of(page), kind) for page in PAGES for kind, _ in blocks(page) if kind not in known} == set()


def test_every_recipe_in_a_page_resolves() -> None:
    recipes = [raw for page in PAGES for kind, text in blocks(page) if kind == "yaml" and (raw := read_yaml(text))]
    assert len(recipes) >= 2
    for raw in recipes:
        resolve_recipe(raw)


def test_every_room_has_its_api_page() -> None:
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert {page.stem for page in (ROOT / "docs" / "api").glob("*.md")} == rooms
    for room in rooms:
        assert f"::: birdbone.{room}\n" in (ROOT / "docs" / "api" / f"{room}.md").read_text()


def test_every_page_stands_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if f": {page}\n" not in navigation] == []


def test_readme_is_at_most_150_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("record", sorted((ROOT / "docs" / "adr").glob("0*.md")), ids=name_of)
def test_a_decision_record_is_one_page_with_its_three_parts(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 60
    assert record.name in (ROOT / "docs" / "adr" / "index.md").read_text()
