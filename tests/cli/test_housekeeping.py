"""Keeping a workspace in order: settings are never lost, and nothing goes without a yes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from birdbone.cli.settings import check_config, hide_password
from birdbone.core import Workspace, write_yaml
from birdbone.pipeline.lock import hold_run

from .recorded import record_run


def editor_that_writes(folder: Path, text: str) -> str:
    """A real editor: a program that puts a text into the file it is given."""
    content, program = folder / "typed.yaml", folder / "editor.sh"
    content.write_text(text)
    program.write_text('#!/bin/sh\ncat "$(dirname "$0")/typed.yaml" > "$1"\n')
    program.chmod(0o755)
    return str(program)


def test_init_makes_a_workspace_once(call: Any, folder: Path) -> None:
    first, second = call("init"), call("init")
    assert first.stdout == second.stdout == f"{folder / '.birdbone'}\n"
    assert (first.stderr, second.stderr) == ("made a workspace\n", "there is a workspace already\n")


def test_config_shows_where_each_setting_comes_from(
    call: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.folder / "config.yaml").write_text("num_threads: 2\n")
    rows = {row["name"]: row for row in json.loads(call("config", "--json").stdout)["settings"]}
    assert (rows["num_threads"]["value"], rows["num_threads"]["origin"]) == (2, "config.yaml")
    assert rows["database_url"]["origin"] == "default"
    monkeypatch.setenv("BIRDBONE_NUM_THREADS", "3")
    rows = {row["name"]: row for row in json.loads(call("config", "--json").stdout)["settings"]}
    assert (rows["num_threads"]["value"], rows["num_threads"]["origin"]) == ("3", "BIRDBONE_NUM_THREADS")


def test_config_edit_takes_what_is_right(call: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", editor_that_writes(workspace.folder.parent, "num_threads: 4\n"))
    assert call("config", "--edit").exit_code == 0
    assert (workspace.folder / "config.yaml").read_text() == "num_threads: 4\n"
    assert not (workspace.folder / "config.draft.yaml").exists()


@pytest.mark.parametrize("typed", ["num_threads: many\n", "num_thread: 4\n", "[1", "just words\n"])
def test_config_edit_keeps_the_old_settings_where_the_new_are_wrong(
    call: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    (workspace.folder / "config.yaml").write_text("num_threads: 2\n")
    monkeypatch.setenv("EDITOR", editor_that_writes(workspace.folder.parent, typed))
    assert call("config", "--edit").exit_code == 2
    assert (workspace.folder / "config.yaml").read_text() == "num_threads: 2\n"
    assert (workspace.folder / "config.draft.yaml").read_text() == typed, "nothing that was typed is lost"


def test_config_edit_without_an_editor_says_what_to_do(
    call: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "no-such-editor-anywhere")
    result = call("config", "--edit")
    assert (result.exit_code, "hint: Set EDITOR" in result.stderr) == (6, True)


def test_config_validate_has_an_exit_code(call: Any, workspace: Workspace) -> None:
    assert call("config", "--validate").exit_code == 0
    (workspace.folder / "config.yaml").write_text("nonsense: 1\n")
    assert call("config", "--validate").exit_code == 2


@given(st.integers(1, 1000) | st.none())
def test_settings_that_are_written_are_read_again(num_threads: int | None) -> None:
    assert check_config(write_yaml({"num_threads": num_threads}), name="config").num_threads == num_threads


def test_a_password_is_never_shown(call: Any, workspace: Workspace) -> None:
    (workspace.folder / "config.yaml").write_text("database_url: postgresql://me:geheim@db/runs\n")
    assert "geheim" not in call("config").stdout + call("config", "--json").stdout
    assert hide_password("sqlite:///runs.db") == "sqlite:///runs.db"


def test_validate_lists_each_check_with_its_fix(call: Any, folder: Path) -> None:
    result = call("validate", "--json")
    checks = json.loads(result.stdout)
    assert {"Python", "PyTorch", "CPU", "Memory", "Disk", "GPU", "git"} <= {check["name"] for check in checks}
    assert all(check["fix"] for check in checks if check["health"] != "ok")
    assert result.exit_code == (2 if any(check["health"] == "fault" for check in checks) else 0)
    assert "Python" in call("validate").stdout


def test_clean_removes_nothing_without_a_yes(call: Any, finished_run: str) -> None:
    result = call("clean", finished_run)
    assert (result.exit_code, "[cli.not_confirmed]" in result.stderr) == (2, True)
    assert f"would be forgotten: {finished_run}" in call("clean", finished_run, "--dry-run").stdout
    assert json.loads(call("status", "--json").stdout) != []


def test_clean_forgets_a_run_that_is_named(call: Any, workspace: Workspace, finished_run: str) -> None:
    result = call("clean", finished_run, "--yes", "--json")
    assert json.loads(result.stdout)["runs"] == [finished_run]
    assert json.loads(call("status", "--json").stdout) == []
    assert not workspace.run_folder(finished_run).exists()


def test_clean_refuses_a_run_that_is_at_work(call: Any, workspace: Workspace) -> None:
    run_id = record_run(workspace, "demo-20260101-000000-bbbb", num_steps=2, status="running")
    with hold_run(workspace.run_folder(run_id)):
        for way in ("--yes", "--dry-run"):
            result = call("clean", run_id, way)
            assert (result.exit_code, f"Process {os.getpid()} works on {run_id}" in result.stderr) == (4, True)
    assert call("clean", run_id, "--yes").exit_code == 0


def test_export_of_a_run_without_a_judged_model_says_so(call: Any, workspace: Workspace) -> None:
    run_id = record_run(workspace, "demo-20260101-000000-bbbb", num_steps=2, status="stopped")
    result = call("export", run_id)
    assert (result.exit_code, f"birdbone run --resume {run_id}" in result.stderr) == (3, True)


def test_vault_hash_tells_what_changed_and_as_a_hook_stops_once(call: Any, tmp_path: Path) -> None:
    path, manifest = tmp_path / "model.safetensors", tmp_path / "weights.json"
    save_file({"a": np.zeros(4, dtype=np.float32)}, path)
    words = ("vault", "hash", str(path), "--manifest", str(manifest))
    assert call(*words).stdout == "model.safetensors: new, 1 tensor\n"
    assert call(*words, "--check").exit_code == 0
    save_file({"a": np.ones(4, dtype=np.float32)}, path)
    assert call(*words, "--check").exit_code == 4
    first, second = call(*words, "--hook"), call(*words, "--hook")
    assert (first.exit_code, second.exit_code) == (4, 0)
    assert "add it to the commit" in first.stderr
    told = json.loads(call(*words, "--json").stdout)["model.safetensors"]
    assert told["weights"].startswith("b3:")
    assert told["change"]["changed"] == []
