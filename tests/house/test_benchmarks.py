"""The benchmark page shows rows as they were measured, and nothing where there are none."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*/bench_*.py"))
ROW: dict[str, Any] = {
    "bench": "models/bench_export_truth",
    "commit": "0123456789abcdef",
    "machine": "x86_64, 1 threads",
    "settings": {"model": "starter", "num_turns": 5},
    "settings_digest": "b3:00",
    "rate": 12.345678,
    "rate_min": 10.0,
    "rate_max": 14.0,
    "num_tokens": 12345,
    "digests_equal": True,
}


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render_benchmarks", ROOT / "docs" / "render_benchmarks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_rows_the_page_says_not_measured(hook: ModuleType, tmp_path: Path) -> None:
    assert hook.read_rows(tmp_path) == []
    assert hook.render([]).startswith("Not measured")


def test_a_row_shows_its_figures_their_ranges_and_where_they_came_from(hook: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "row.json").write_text(json.dumps(ROW))
    page = hook.render(hook.read_rows(tmp_path))
    assert "| rate | 12.35 | 10 to 14 |" in page
    assert "| num tokens | 12,345 |  |" in page
    assert "| digests equal | yes |  |" in page
    assert "rate min" not in page
    assert "`0123456789ab`" in page
    assert "x86_64, 1 threads" in page
    assert "num_turns 5" in page


@pytest.mark.parametrize("missing", ["bench", "commit", "machine", "settings", "settings_digest"])
def test_a_row_that_does_not_say_where_it_came_from_is_refused(hook: ModuleType, tmp_path: Path, missing: str) -> None:
    (tmp_path / "row.json").write_text(json.dumps({name: value for name, value in ROW.items() if name != missing}))
    with pytest.raises(ValueError, match=missing):
        hook.read_rows(tmp_path)


def test_a_row_without_figures_is_refused(hook: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "row.json").write_text(json.dumps({name: ROW[name] for name in hook.PROVENANCE}))
    with pytest.raises(ValueError, match="figures"):
        hook.read_rows(tmp_path)


def test_the_stored_rows_can_be_shown(hook: ModuleType) -> None:
    page = hook.on_page_markdown((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"))
    assert hook.MARKER not in page


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_benchmark_states_its_question_its_method_and_its_peer(script: Path) -> None:
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    assert [word for word in ("Question:", "Method:", "Peer:") if word not in docstring] == []
