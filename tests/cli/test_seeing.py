"""Looking at runs: in a terminal, as JSON, and while another process works on them."""

from __future__ import annotations

import json
from typing import Any

from birdbone.cli.attendance import is_at_work
from birdbone.core import Workspace

from .recorded import record_run


def test_a_workspace_without_runs_says_so(call: Any, workspace: Workspace) -> None:
    result = call("status")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing yet\n")
    assert json.loads(call("status", "--json").stdout) == []


def test_status_lists_the_runs_newest_first(call: Any, workspace: Workspace, finished_run: str) -> None:
    newer = record_run(workspace, "demo-20260102-000000-ffff", num_steps=1, status="stopped")
    listed = json.loads(call("status", "--json").stdout)
    assert [(row["run"], row["status"]) for row in listed] == [(newer, "stopped"), (finished_run, "done")]
    assert finished_run in call("status").stdout


def test_status_of_a_run_shows_its_waves_and_its_result(call: Any, finished_run: str) -> None:
    shown = call("status", "latest").stdout
    for text in ("wave-1", "+1.00 %", "10.0 %", "undone", "judge-try2", "pass", "270.0 MB", "90.00 MB"):
        assert text in shown
    assert "\x1b" not in shown, "no colour where nobody looks"


def test_status_as_json_keeps_every_figure_with_its_evidence(call: Any, finished_run: str) -> None:
    data = json.loads(call("status", finished_run, "--json").stdout)
    assert [step["label"] for step in data["steps"]][:4] == ["seed", "log_activations", "wave-1", "wave-2"]
    assert all(row["method"] and row["artefact"] and row["run_id"] == finished_run for row in data["measurements"])
    assert data["steps"][2]["sparsity"] == 0.1


def test_a_run_whose_process_died_is_interrupted(call: Any, workspace: Workspace) -> None:
    run_id = record_run(workspace, "demo-20260101-000000-bbbb", num_steps=3, status="running")
    assert json.loads(call("status", run_id, "--json").stdout)["status"] == "interrupted"
    assert f"birdbone run --resume {run_id}" in call("monitor", "--once").stdout


def test_a_run_is_at_work_as_long_as_its_lock_is_open(call: Any, workspace: Workspace) -> None:
    run_id = record_run(workspace, "demo-20260101-000000-bbbb", num_steps=3, status="running")
    with (workspace.run_folder(run_id) / "lock").open("w"):
        assert is_at_work(workspace, run_id)
        assert json.loads(call("status", run_id, "--json").stdout)["status"] == "running"
        frame = json.loads(call("monitor", run_id, "--json").stdout)
        assert frame["pid"] > 0
        assert frame["memory_bytes"] > 0
    assert not is_at_work(workspace, run_id)


def test_monitor_ends_with_the_run(call: Any, finished_run: str) -> None:
    result = call("monitor")
    assert result.exit_code == 0
    assert "wave-3" in result.stdout


def test_logs_tell_what_happened_in_order(call: Any, finished_run: str) -> None:
    lines = call("logs").stdout.splitlines()
    assert "seed: started" in lines[0]
    assert "wave-1: done: perplexity 20.20 (+1.00 %), sparsity 10.0 %, good" in lines[5]
    assert lines[-1].endswith("run done")


def test_logs_of_one_step_or_of_a_kind_of_step(call: Any, finished_run: str) -> None:
    assert [line.split("  ")[1] for line in call("logs", "latest", "--phase", "wave-2").stdout.splitlines()] == [
        "wave-2: started",
        "wave-2: done: perplexity 21.00 (+5.00 %), sparsity 20.0 %, probation",
    ]
    assert len(call("logs", "latest", "--phase", "waves").stdout.splitlines()) == 6


def test_logs_as_json_are_one_object_a_line(call: Any, finished_run: str) -> None:
    events = [json.loads(line) for line in call("logs", "--json").stdout.splitlines()]
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    assert events[0]["event"] == "step_started"


def test_following_the_log_of_an_ended_run_ends(call: Any, finished_run: str) -> None:
    assert call("logs", "--follow").stdout == call("logs").stdout
