"""The pre-commit hooks need no network, and the guards find what they are for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CONFIG = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text())
HOOKS = {hook["id"]: hook for repository in CONFIG["repos"] for hook in repository["hooks"]}


def guard(name: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".ci" / "guard.py"), name, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_hook_runs_a_tool_of_the_own_environment() -> None:
    assert {repository["repo"] for repository in CONFIG["repos"]} == {"local"}
    own = {"ruff-check", "ruff-format", "mdformat", "notebook-diff", "check-yaml", "large-files", "weight-hash"}
    assert own == set(HOOKS)
    for hook in HOOKS.values():
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")


def test_pre_commit_accepts_the_configuration() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def test_pre_commit_accepts_the_hooks_for_other_repositories() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", ".pre-commit-hooks.yaml"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def test_notebooks_are_compared_cell_by_cell() -> None:
    assert "*.ipynb diff=jupyternotebook merge=jupyternotebook" in (ROOT / ".gitattributes").read_text().splitlines()


def test_every_yaml_file_of_the_repository_passes_the_guard(repository_files: list[Path]) -> None:
    paths = [path for path in repository_files if path.suffix in (".yml", ".yaml")]
    assert len(paths) >= 5
    done = guard("yaml", *paths)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["a: [1\n", "a: 1\na: 2\n", "a: b: c\n", "\tx: 1\n"])
def test_broken_yaml_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    done = guard("yaml", path)
    assert done.returncode == 1
    assert "broken.yaml" in done.stderr


def test_a_file_at_the_limit_passes_and_one_byte_more_does_not(tmp_path: Path) -> None:
    fits, large = tmp_path / "fits.bin", tmp_path / "large.bin"
    fits.write_bytes(bytes(2_000_000))
    large.write_bytes(bytes(2_000_001))
    done = guard("size", fits, large)
    assert done.returncode == 1
    assert "large.bin" in done.stderr
    assert "fits.bin" not in done.stderr


def test_an_unknown_guard_shows_the_usage() -> None:
    done = guard("nothing")
    assert done.returncode == 2
    assert "Usage" in done.stderr
