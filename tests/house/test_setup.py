"""The set-up agrees with itself: bounds, pins, commands, CI, conda."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INSTALLED_EXTRAS = ("gguf", "dev")
DEPENDENCIES = [
    Requirement(text)
    for text in [*PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in INSTALLED_EXTRAS)]
    for text in ([text] if isinstance(text, str) else text)
]


def read_pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


PINS = read_pins()


@pytest.mark.parametrize("dependency", DEPENDENCIES, ids=lambda dependency: dependency.name)
def test_every_dependency_is_bounded_and_pinned_within_its_bounds(dependency: Requirement) -> None:
    assert dependency.specifier
    assert PINS[canonicalize_name(dependency.name)] in dependency.specifier


def test_torch_is_pinned_alike_and_to_no_build() -> None:
    torch = next(dependency for dependency in DEPENDENCIES if dependency.name == "torch")
    assert str(torch.specifier) == f"=={PINS['torch']}"
    assert "+" not in PINS["torch"]


def test_constraints_are_pins_without_hashes_paths_or_extras() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line)] == []
    assert len(PINS) == len(lines)


def test_pip_reads_the_constraints() -> None:
    """pip refuses a constraints file with extras, editable paths or a line that it cannot parse."""
    pip = [str(ROOT / ".venv" / "bin" / "python"), "-m", "pip"]
    if not Path(pip[0]).is_file():
        pytest.skip("no .venv here: an own environment is in use")
    command = [*pip, "install", "--dry-run", "--no-deps", "--quiet", "-c", "constraints.txt", "packaging"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_lists_its_commands() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True)
    listed = set(re.findall(r"^make (\w+) ", done.stdout, flags=re.MULTILINE))
    assert listed == {"help", "demo", "test", "lint", "format", "docs", "bench", "hooks", "clean"}


def test_make_demo_runs_the_demo_recipe_and_make_test_ends_with_pytest(tmp_path: Path) -> None:
    demo = dry_run("demo", tmp_path)
    assert demo[-1].endswith("birdbone run recipes/demo.yaml")
    assert any("'.[gguf]'" in line for line in demo)
    test = dry_run("test", tmp_path)
    assert "pytest" in test[-1]
    order = [
        next(place for place, line in enumerate(test) if word in line)
        for word in ("ruff check", "mypy", "lint-imports", "mkdocs", "pytest -n")
    ]
    assert order == sorted(order)


def dry_run(target: str, folder: Path) -> list[str]:
    """What make would do on a fresh machine."""
    command = ["make", "--dry-run", target, f"VENV={folder / 'fresh'}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.splitlines()


def test_a_machine_without_a_new_python_is_told_what_to_install(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "make", "echo", "rm", "touch"):
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    command = ["make", f"{tmp_path / 'fresh'}/.made", f"VENV={tmp_path / 'fresh'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={"PATH": str(tools)})
    assert done.returncode != 0
    assert "Birdbone needs Python 3.11 or newer" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_ci_is_a_program_that_bash_reads_and_that_calls_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "make test" in script.read_text()


def test_the_github_workflow_calls_the_same_commands_with_a_time_limit() -> None:
    workflow = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert runs == ["bash .ci/run", "make demo"]
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_conda_users_get_the_same_constraints() -> None:
    environment = YAML(typ="safe").load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert "-c constraints.txt" in pip
    python = next(entry for entry in environment["dependencies"] if str(entry).startswith("python="))
    assert python.removeprefix("python=") in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == "Apache-2.0"
