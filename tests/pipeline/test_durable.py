"""A run survives what happens to processes: killed, stopped, failed, doubled, it goes on and ends in the same bytes."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from birdbone.core import Workspace
from birdbone.pipeline import service
from birdbone.pipeline.service import RunView
from birdbone.vault import log, open_vault, verify

from .conftest import MakeRecipe
from .processes import Child, Ending, Server

FINAL = ("final", "final_gguf", "masks", "statistics", "quantized")
LABELS = [
    "seed", "log_activations", "wave-1", "wave-2", "quantize", "low_rank", "export", "judge", "version",
]  # fmt: skip

Reference = tuple[Workspace, RunView]


def folder_of(workspace: Workspace) -> Path:
    return workspace.folder.parent


def go_on(processes: Server, workspace: Workspace, run_id: str) -> RunView:
    """Resume in a process of its own, to the end."""
    ending = processes.start(folder_of(workspace), run_id).wait()
    assert (ending.status, ending.error) == (0, None)
    return service.view_run(workspace, run_id)


def wait_for_step(workspace: Workspace, run_id: str, label: str, child: Child) -> None:
    """Return when a step is in hand."""
    while label not in {step.label for step in service.view_run(workspace, run_id).steps}:
        assert child.is_alive()
        time.sleep(0.02)


def execute_sql(workspace: Workspace, text: str) -> list[Any]:
    with sqlite3.connect(workspace.folder / "birdbone.db", timeout=30) as connection:
        return connection.execute(text).fetchall()


def test_an_uninterrupted_run_does_each_step_once_in_order(reference: Reference) -> None:
    workspace, view = reference
    assert view.run.status == "done"
    assert view.run.error is None
    assert [(step.label, step.status, step.num_tries) for step in view.steps] == [
        (label, "done", 1) for label in LABELS
    ]
    kinds = [event.kind for event in service.read_log(workspace, view.run.id)]
    assert kinds == ["run_running", *["step_started", "step_done"] * len(LABELS), "run_done"]
    assert verify(open_vault(workspace.vault_folder)).is_sound


def test_a_second_uninterrupted_run_in_this_process_gives_the_same_digests(
    reference: Reference, workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    heard = []
    run_id = service.start_run(workspace, make_recipe(), listener=lambda *report: heard.append(report))
    view = service.view_run(workspace, run_id)
    assert view.run.status == "done"
    assert view.artefacts == reference[1].artefacts
    assert list(dict.fromkeys(label for label, *_ in heard)) == LABELS
    assert all(0 <= done <= total for *_, done, total in heard)


@pytest.mark.parametrize("seed", [0])
def test_a_run_that_is_killed_at_random_points_ends_in_the_same_digests(
    reference: Reference, processes: Server, workspace: Workspace, make_recipe: MakeRecipe, seed: int
) -> None:
    randomness = random.Random(seed)
    run_id = service.create_run(workspace, make_recipe())
    killed: list[Ending] = []
    while len(killed) < 4:
        kill_at, delay = randomness.randint(1, 30), randomness.uniform(0.0, 0.2)
        ending = processes.start(folder_of(workspace), run_id, kill_at=kill_at, delay=delay).wait()
        if ending.status == 0:
            pytest.fail(f"The run ended after {len(killed)} kills: it needs more steps, or the points be earlier.")
        killed.append(ending)
    assert [ending.status for ending in killed] == [-signal.SIGKILL] * 4
    view = go_on(processes, workspace, run_id)
    assert {name: view.artefacts[name] for name in FINAL} == {name: reference[1].artefacts[name] for name in FINAL}
    assert view.artefacts == reference[1].artefacts
    assert [step.label for step in view.steps] == LABELS
    assert sum(step.num_tries for step in view.steps) > len(LABELS)
