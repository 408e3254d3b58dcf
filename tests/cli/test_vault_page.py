"""The page on the vault shows what its commands print, but for digests, times and figures of this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def tour() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vault_tour", DOCS / "vault_tour.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_what_its_commands_print(tour: ModuleType, tiny_model_folder: Path) -> None:
    page = (DOCS / "vault.md").read_text(encoding="utf-8")
    shown = tour.outputs(page)
    assert len(shown) >= 9
    assert tour.outputs(tour.rewrite(page, tiny_model_folder)) == shown
