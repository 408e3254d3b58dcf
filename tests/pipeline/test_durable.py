"""A run survives what happens to processes: killed, stopped, failed, doubled, it goes on and ends in the same bytes."""

from __future__ import annotations

import logging
import os
import random
import signal

import pytest

from birdbone.core import Workspace
from birdbone.pipeline import running, service
from birdbone.pipeline.service import RunView
from birdbone.vault import log, open_vault, read_manifest, verify
from birdbone.vault.store.packs import find

from .conftest import MakeRecipe
from .processes import Server
from .runs import execute_sql, fail, folder_of, go_on, run_here, try_on, wait_for_step

FINAL = ("final", "final_gguf", "masks", "statistics", "quantized")
LABELS = [
    "seed", "log_activations", "wave-1", "wave-2", "quantize", "low_rank", "export", "judge", "version",
]  # fmt: skip

Reference = tuple[Workspace, RunView]


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
    run_id = running.start_run(workspace, make_recipe(), listener=lambda *report: heard.append(report))
    view = service.view_run(workspace, run_id)
    assert view.run.status == "done"
    assert view.artefacts == reference[1].artefacts
    assert list(dict.fromkeys(label for label, *_ in heard)) == LABELS
    assert all(0 <= done <= total for *_, done, total in heard)


def test_a_run_starts_though_the_stderr_under_which_the_engine_was_imported_is_closed(
    workspace: Workspace, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen in CI: pytest had closed the stderr that it lent to an earlier test."""
    with open(os.devnull, "w", encoding="utf-8") as closed:
        pass
    monkeypatch.setattr(logging.getLogger("dbos"), "handlers", [logging.StreamHandler(closed)])
    assert run_here(workspace, make_recipe(until="seed")).run.status == "done"


def test_a_run_that_is_killed_at_random_points_ends_in_the_same_digests(
    reference: Reference, processes: Server, workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    """The last three steps are so short that a delay could outlive them; the next test goes at them."""
    randomness = random.Random(0)
    chosen = sorted(randomness.sample(LABELS[:-3], 4), key=LABELS.index)
    run_id = running.create_run(workspace, make_recipe())
    for label in chosen:
        delay = randomness.uniform(0.0, 0.15)
        ending = processes.start(folder_of(workspace), run_id, kill_in=label, delay=delay).wait()
        assert ending.status == -signal.SIGKILL
    view = go_on(processes, workspace, run_id)
    assert {name: view.artefacts[name] for name in FINAL} == {name: reference[1].artefacts[name] for name in FINAL}
    assert view.artefacts == reference[1].artefacts
    assert [step.label for step in view.steps] == LABELS
    assert sum(step.num_tries for step in view.steps) >= len(LABELS) + 4


def test_a_step_that_was_done_but_not_recorded_is_done_again_and_gives_the_same(
    reference: Reference, processes: Server, workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    """The database refuses the record of steps that also move refs or publish files: all was done, nothing is known."""
    run_id = running.create_run(workspace, make_recipe())
    twice = ("seed", "wave-1", "judge", "version")
    for label in twice:
        execute_sql(
            workspace,
            f"CREATE TRIGGER refuse BEFORE UPDATE ON steps WHEN NEW.label = '{label}' AND NEW.status = 'done' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        assert fail(processes, workspace, run_id)["code"] == "pipeline.step_failed"
        execute_sql(workspace, "DROP TRIGGER refuse")
    view = go_on(processes, workspace, run_id)
    assert view.artefacts == reference[1].artefacts
    assert [(step.label, step.num_tries) for step in view.steps] == [
        (label, 2 if label in twice else 1) for label in LABELS
    ]
    names = [(row.step, row.name, row.artefact) for row in view.measurements]
    assert names == [(row.step, row.name, row.artefact) for row in reference[1].measurements]
    assert versions_on_main(workspace) == versions_on_main(reference[0])


def versions_on_main(workspace: Workspace) -> list[tuple[str, str]]:
    versions = log(open_vault(workspace.vault_folder), "main")
    return [(version.lineage.step, version.artefact) for version in versions]


def test_a_step_that_could_not_even_be_begun_is_begun_by_the_next_resume(
    reference: Reference, processes: Server, workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    run_id = running.create_run(workspace, make_recipe(until="log_activations"))
    execute_sql(
        workspace,
        "CREATE TRIGGER refuse BEFORE INSERT ON steps WHEN NEW.label = 'log_activations' "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    execute_sql(
        workspace,
        "CREATE TRIGGER refuse_failure BEFORE UPDATE ON runs WHEN NEW.status = 'failed' "
        "BEGIN SELECT RAISE(ABORT, 'refused as well'); END",
    )
    ending = try_on(processes, workspace, run_id)
    assert ending.error is not None
    assert "refused" in ending.error["message"]
    for name in ("refuse", "refuse_failure"):
        execute_sql(workspace, f"DROP TRIGGER {name}")
    view = go_on(processes, workspace, run_id)
    assert view.artefacts["statistics"] == reference[1].artefacts["statistics"]


def test_a_run_may_be_resumed_more_often_than_anyone_counts(
    processes: Server, workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    run_id = running.create_run(workspace, make_recipe(until="log_activations"))
    assert processes.start(folder_of(workspace), run_id, kill_in="log_activations").wait().status == -signal.SIGKILL
    statement = "UPDATE workflow_status SET recovery_attempts = 100000"
    assert execute_sql(workspace, statement, database="durable.db") == 1
    assert go_on(processes, workspace, run_id).run.status == "done"


def test_two_runs_of_one_workspace_go_on_beside_each_other(
    processes: Server, workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    """A process that works on its own run must not pick up the run that another process is about to resume."""
    interrupted, fresh = (running.create_run(workspace, make_recipe(until="waves")) for _ in range(2))
    first = processes.start(folder_of(workspace), interrupted, kill_in="wave-1").wait()
    assert first.status == -signal.SIGKILL
    beside = processes.start(folder_of(workspace), fresh)
    wait_for_step(workspace, fresh, "seed", beside)
    endings = [processes.start(folder_of(workspace), interrupted).wait(), beside.wait()]
    assert [(ending.status, ending.error) for ending in endings] == [(0, None)] * 2
    artefacts = [service.view_run(workspace, run_id).artefacts for run_id in (interrupted, fresh)]
    assert artefacts[0] == artefacts[1]


def test_ctrl_c_stops_at_the_next_safe_point_and_the_run_goes_on_later(
    reference: Reference, processes: Server, workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    run_id = running.create_run(workspace, make_recipe())
    child = processes.start(folder_of(workspace), run_id)
    wait_for_step(workspace, run_id, "wave-1", child)
    child.send(signal.SIGINT)
    ending = child.wait()
    assert ending.error is not None
    assert (ending.error["code"], ending.error["kind"]) == ("pipeline.stopped", "cancelled")
    assert ending.error["run_id"] == run_id
    stopped = service.view_run(workspace, run_id)
    assert (stopped.run.status, stopped.run.error) == ("stopped", None)
    assert stopped.steps[-1].status == "failed"
    assert service.read_log(workspace, run_id)[-1].kind == "run_stopped"
    view = go_on(processes, workspace, run_id)
    assert view.artefacts == reference[1].artefacts
    assert view.run.status == "done"


def test_only_one_process_works_on_a_run(processes: Server, workspace: Workspace, make_recipe: MakeRecipe) -> None:
    run_id = running.create_run(workspace, make_recipe(until="log_activations"))
    first = processes.start(folder_of(workspace), run_id)
    wait_for_step(workspace, run_id, "seed", first)
    second = try_on(processes, workspace, run_id)
    assert second.error is not None
    assert (second.error["code"], second.error["kind"]) == ("pipeline.run_busy", "conflict")
    ending = first.wait()
    assert (ending.status, ending.error) == (0, None)
    view = service.view_run(workspace, run_id)
    assert view.run.status == "done"
    assert [step.num_tries for step in view.steps] == [1, 1]


def test_a_damaged_store_fails_the_step_and_the_run_goes_on_once_it_is_mended(
    reference: Reference, processes: Server, workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    run_id = running.create_run(workspace, make_recipe(until="log_activations"))
    assert processes.start(folder_of(workspace), run_id, kill_in="log_activations").wait().status == -signal.SIGKILL
    vault = open_vault(workspace.vault_folder)
    dense = service.view_run(workspace, run_id).artefacts["dense"]
    blob = max(read_manifest(vault, dense).blobs().items(), key=lambda item: item[1])[0]
    place = find(vault, blob)
    assert place is not None
    path, middle = vault.packs / place.pack, place.offset + place.stored_bytes // 2
    intact = path.read_bytes()
    path.write_bytes(intact[:middle] + bytes([intact[middle] ^ 1]) + intact[middle + 1 :])
    assert fail(processes, workspace, run_id)["code"] == "vault.corrupt_object"
    view = service.view_run(workspace, run_id)
    assert [(step.label, step.status) for step in view.steps] == [("seed", "done"), ("log_activations", "failed")]
    path.write_bytes(intact)
    view = go_on(processes, workspace, run_id)
    assert view.artefacts["statistics"] == reference[1].artefacts["statistics"]


def test_a_step_leaves_nothing_in_its_scratch_folder(reference: Reference) -> None:
    workspace, view = reference
    assert not (view.folder / "scratch").exists()
    assert list(open_vault(workspace.vault_folder).staging.iterdir()) == []
