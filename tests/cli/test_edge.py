"""However something goes wrong, one line and a hint leave, with the exit code of its kind."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import create_engine, text

from birdbone.cli.edge import explain, report
from birdbone.core import BirdboneError, ErrorKind, Measurement, Workspace, exit_code
from birdbone.pipeline.errors import RunStoppedError, StepFailedError

from .recorded import record_run


def fault_of_the_schema() -> ValidationError:
    try:
        Measurement(name="size", value=float("nan"), unit="byte", method="none", artefact="b3:0")
    except ValidationError as error:
        return error
    raise AssertionError


def fault_of_the_database() -> Exception:
    try:
        with create_engine("sqlite://").connect() as connection:
            connection.execute(text("SELECT 1 FROM nowhere"))
    except Exception as error:  # noqa: BLE001 - whatever SQLAlchemy raises
        return error
    raise AssertionError


@pytest.mark.parametrize("kind", get_args(ErrorKind))
def test_each_kind_has_its_exit_code(kind: ErrorKind, capsys: pytest.CaptureFixture[str]) -> None:
    error = BirdboneError("It is so.", hint="Do this.")
    error.kind = kind
    assert report(error, as_json=False, is_debug=False) == exit_code(kind)
    assert capsys.readouterr().err == "error [core.internal] It is so.\nhint: Do this.\n"


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (KeyboardInterrupt(), "cli.interrupted", "cancelled"),
        (MemoryError(), "cli.no_memory", "unavailable"),
        (OSError(errno.ENOSPC, "No space left"), "core.disk_full", "unavailable"),
        (PermissionError(errno.EACCES, "Denied", "a-file"), "cli.unexpected", "internal"),
        (fault_of_the_schema(), "cli.unreadable_value", "invalid"),
        (fault_of_the_database(), "cli.database", "unavailable"),
        (ZeroDivisionError("division"), "cli.unexpected", "internal"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_others_are_told_in_our_words(error: BaseException, code: str, kind: ErrorKind) -> None:
    known = explain(error)
    assert (known.code, known.kind) == (code, kind)
    assert "pydantic.dev" not in known.message


@given(st.text(max_size=200))
def test_an_error_is_one_line_whatever_its_message(message: str) -> None:
    program = " ".join(message.split())
    error = explain(ZeroDivisionError(message))
    assert "\n" not in " ".join(error.message.split())
    assert program in " ".join(error.message.split())


def test_a_hint_names_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(RunStoppedError("Stopped.", run_id="demo-1"), as_json=False, is_debug=False) == 130
    assert "birdbone run --resume demo-1`" in capsys.readouterr().err


def test_a_trace_is_shown_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    error = StepFailedError("It failed.", trace="Traceback: deep inside")
    for as_json in (False, True):
        report(error, as_json=as_json, is_debug=False)
        assert "Traceback" not in capsys.readouterr().err
    report(error, as_json=True, is_debug=True)
    assert "deep inside" in capsys.readouterr().err


def test_with_json_an_error_is_one_object(call: Any, workspace: Workspace) -> None:
    result = call("status", "nobody", "--json")
    error = json.loads(result.stderr)
    assert (result.exit_code, error["code"], error["kind"]) == (3, "pipeline.run_not_found", "not_found")
    assert result.stdout == ""


def test_debug_shows_the_trace(call: Any, workspace: Workspace) -> None:
    assert "Traceback" not in call("status", "nobody").stderr
    result = call("--debug", "status", "nobody")
    assert "Traceback" in result.stderr
    assert result.exit_code == 3


@pytest.mark.parametrize("words", [["run", "--nope"], ["frobnicate"], ["model"], ["compare", "a"]], ids=" ".join)
def test_a_wrong_call_is_explained_and_exits_2(call: Any, words: list[str]) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("error [cli.usage] ")
    assert "hint: `birdbone" in result.stderr


def test_outside_of_a_workspace_the_hint_says_how_to_make_one(call: Any, folder: Path) -> None:
    result = call("status")
    assert result.exit_code == 3
    assert "hint: Run `birdbone init`" in result.stderr


def test_a_wrong_config_never_shows_raw_validation(call: Any, workspace: Workspace) -> None:
    (workspace.folder / "config.yaml").write_text("num_threads: many\n")
    result = call("status")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 2
    assert "num_threads" in result.stderr
    assert "pydantic" not in result.stderr


def test_a_text_that_is_no_yaml_is_one_line(call: Any, workspace: Workspace) -> None:
    (workspace.folder / "config.yaml").write_text("num_threads: [1\n")
    result = call("status")
    assert result.exit_code == 2
    assert result.stderr.startswith("error [core.bad_yaml] ")
    assert result.stderr.count("\n") == 2


def test_sigterm_ends_a_command_as_ctrl_c_does(workspace: Workspace) -> None:
    run_id = record_run(workspace, "demo-20260101-000000-bbbb", num_steps=2, status="running")
    with (workspace.run_folder(run_id) / "lock").open("w"):  # as if this process worked on it
        program = "from birdbone.cli import main\nmain()"
        process = subprocess.Popen(
            [sys.executable, "-c", program, "logs", "--follow"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=workspace.folder.parent,
        )
        assert process.stdout is not None
        assert "run running" not in process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, talk = process.communicate(timeout=30)
    assert process.returncode == 130
    assert talk.startswith("error [cli.interrupted] ")
