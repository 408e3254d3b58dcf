"""Finding, viewing, exporting and removing runs."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from birdbone.core import Workspace, read_yaml
from birdbone.core.database import connect
from birdbone.pipeline import running, service
from birdbone.pipeline.errors import NothingToExportError, RunBusyError, RunNotFoundError, RunNotResumableError
from birdbone.pipeline.lock import hold_run
from birdbone.pipeline.recipe import resolve_recipe
from birdbone.pipeline.service import RunView
from birdbone.vault import DestinationNotEmptyError, checkout, open_vault, verify

from .conftest import MakeRecipe
from .processes import Server
from .runs import folder_of, go_on, run_here

Reference = tuple[Workspace, RunView]


def nobody(*_: object) -> None:
    """Listen to nothing."""


def age(workspace: Workspace, *, hours: float) -> None:
    """Make every object of the vault look as old as that."""
    moment = time.time() - hours * 3600
    for path in open_vault(workspace.vault_folder).objects.rglob("*"):
        os.utime(path, (moment, moment))


def test_a_run_is_found_by_its_id_its_beginning_or_as_the_latest(workspace: Workspace, make_recipe: MakeRecipe) -> None:
    first = running.create_run(workspace, make_recipe("name=first"))
    second = running.create_run(workspace, make_recipe("name=second"))
    for name, run_id in ((first, first), ("firs", first), (second[:-2], second), ("latest", second)):
        assert service.find_run(workspace, name).id == run_id
    assert [run.id for run in service.list_runs(workspace)] == [second, first]


def test_an_id_that_is_also_the_beginning_of_another_is_itself(workspace: Workspace, make_recipe: MakeRecipe) -> None:
    run_id = running.create_run(workspace, make_recipe())
    with connect(workspace.database_url).begin() as connection:
        service.repository.insert_run(connection, run_id=f"{run_id}0", name="tiny", recipe={}, environment={})
    assert service.find_run(workspace, run_id).id == run_id


def test_a_name_that_no_run_or_several_have_is_refused(workspace: Workspace, make_recipe: MakeRecipe) -> None:
    for name in ("latest", "tiny"):
        with pytest.raises(RunNotFoundError, match="No run is called"):
            service.find_run(workspace, name)
    ids = [running.create_run(workspace, make_recipe()) for _ in range(2)]
    with pytest.raises(RunNotFoundError, match="2 runs begin with 'tiny'") as caught:
        service.find_run(workspace, "tiny")
    assert all(run_id in caught.value.message for run_id in ids)
    for use_case in (service.view_run, service.read_log):
        with pytest.raises(RunNotFoundError):
            use_case(workspace, "unknown")
    with pytest.raises(RunNotFoundError):
        running.resume_run(workspace, "unknown", listener=nobody)


def test_a_new_run_keeps_its_whole_recipe_settled_and_where_it_runs(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe("num_threads=null", "dtype=auto")
    run_id = running.create_run(workspace, recipe)
    run, folder = service.find_run(workspace, run_id), workspace.run_folder(run_id)
    assert run.recipe["num_threads"] >= 1
    assert run.recipe["dtype"] in ("float32", "bfloat16")
    assert read_yaml((folder / "recipe.yaml").read_text()) == run.recipe
    settled = resolve_recipe(run.recipe)
    assert settled == recipe.model_copy(update={"num_threads": settled.num_threads, "dtype": settled.dtype})
    assert (folder / "environment.json").is_file()
    assert run.environment["packages"]["torch"]


def test_a_recipe_that_says_threads_and_dtype_gets_them(workspace: Workspace, make_recipe: MakeRecipe) -> None:
    recipe = make_recipe("num_threads=3", "dtype=bfloat16")
    assert running.settle(workspace, recipe) == recipe


def test_a_view_has_the_newest_artefact_and_the_newest_figure_of_each_name(reference: Reference) -> None:
    view = reference[1]
    by_label = {step.label: step.result for step in view.steps}
    assert view.artefacts["state"] == by_label["wave-2"]["artefacts"]["state"]
    assert view.artefacts["quantized"] == by_label["low_rank"]["artefacts"]["quantized"]
    figure = view.figure("perplexity")
    assert figure is not None
    assert figure.step == "wave-2"
    dense = view.figure("perplexity", view.artefacts["dense"])
    assert dense is not None
    assert dense.step == "seed"
    assert view.figure("perplexity", "b3:none") is None
    assert view.figure("beauty") is None


def test_the_log_can_be_read_from_where_it_was_left(reference: Reference) -> None:
    workspace, view = reference
    events = service.read_log(workspace, view.run.id)
    assert events == sorted(events, key=lambda event: event.id)
    assert service.read_log(workspace, view.run.id, after_id=events[3].id) == events[4:]
    assert service.read_log(workspace, view.run.id, after_id=events[-1].id) == []


def test_a_run_that_is_done_is_not_resumed(reference: Reference) -> None:
    workspace, view = reference
    with pytest.raises(RunNotResumableError):
        running.resume_run(workspace, view.run.id, listener=nobody)
    assert service.view_run(workspace, view.run.id) == view


def test_an_export_holds_the_model_the_file_the_recipe_and_the_diff(reference: Reference, tmp_path: Path) -> None:
    workspace, view = reference
    made = service.export_run(workspace, view.run.id, tmp_path / "deep" / "out")
    assert all(path.exists() for path in made)
    out = tmp_path / "deep" / "out"
    names = {path.relative_to(out).as_posix() for path in made}
    assert {"model", "recipe.yaml", "diff"} <= names
    assert sum(name.endswith(".gguf") for name in names) == 1
    kept = checkout(open_vault(workspace.vault_folder), view.artefacts["final"], tmp_path / "kept")
    for path in kept.iterdir():
        assert (out / "model" / path.name).read_bytes() == path.read_bytes()
    assert any((out / "diff").iterdir())


def test_an_export_may_be_made_twice_and_takes_nothing_away_that_it_did_not_make(
    reference: Reference, tmp_path: Path
) -> None:
    workspace, view = reference
    out = tmp_path / "out"
    first = service.export_run(workspace, view.run.id, out)
    assert service.export_run(workspace, view.run.id, out) == first
    own = out / "model" / "thesis.txt"
    own.write_text("three years of work")
    with pytest.raises(DestinationNotEmptyError):
        service.export_run(workspace, view.run.id, out)
    assert own.read_text() == "three years of work"


@pytest.mark.parametrize("name", ["recipe.yaml", "report.html"])
def test_an_export_beside_somebody_elses_file_of_the_same_name_touches_nothing(
    reference: Reference, tmp_path: Path, name: str
) -> None:
    workspace, view = reference
    (tmp_path / name).write_text("name: mine\n")
    with pytest.raises(DestinationNotEmptyError, match=name):
        service.export_run(workspace, view.run.id, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "name: mine\n"


def test_an_export_beside_somebody_elses_diff_touches_nothing(reference: Reference, tmp_path: Path) -> None:
    workspace, view = reference
    name = min(path.name for path in (view.folder / "diff").iterdir() if path.is_file())
    own = tmp_path / "out" / "diff" / name
    own.parent.mkdir(parents=True)
    own.write_text("my own differences")
    with pytest.raises(DestinationNotEmptyError, match=f"diff/{name}"):
        service.export_run(workspace, view.run.id, tmp_path / "out")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [own]
    assert own.read_text() == "my own differences"


@pytest.mark.parametrize("name", ["diff", "recipe.yaml"])
def test_what_is_a_file_where_a_folder_belongs_or_the_other_way_is_somebody_elses(
    reference: Reference, tmp_path: Path, name: str
) -> None:
    workspace, view = reference
    if name == "diff":
        (tmp_path / name).write_text("not a folder")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(DestinationNotEmptyError):
        service.export_run(workspace, view.run.id, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_run_without_a_judged_model_has_nothing_to_export(
    workspace: Workspace, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run_id = running.create_run(workspace, make_recipe())
    with pytest.raises(NothingToExportError) as caught:
        service.export_run(workspace, run_id, tmp_path / "out")
    assert caught.value.fields["run_id"] == run_id
    assert not (tmp_path / "out").exists()


def test_removing_a_run_takes_its_rows_folder_and_branches_and_frees_what_is_left_over(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    kept = run_here(workspace, make_recipe("name=kept", until="seed"))
    gone = run_here(workspace, make_recipe("name=gone", "data.window=32", until="log_activations"))
    age(workspace, hours=2)
    before = {run.id for run in service.list_runs(workspace)}, service.vault_refs(workspace)
    _, would_go = service.remove_runs(workspace, [gone.run.id], is_dry_run=True)
    assert ({run.id for run in service.list_runs(workspace)}, service.vault_refs(workspace)) == before
    assert gone.folder.exists()

    ids, went = service.remove_runs(workspace, [gone.run.id], is_dry_run=False)
    assert ids == [gone.run.id]
    assert not went.dry_run
    assert set(would_go.digests) <= set(went.digests)
    assert gone.artefacts["statistics"] in went.digests
    assert [run.id for run in service.list_runs(workspace)] == [kept.run.id]
    assert not any(gone.run.id in ref for ref in service.vault_refs(workspace))
    assert not gone.folder.exists()
    vault = open_vault(workspace.vault_folder)
    assert verify(vault).is_sound
    assert checkout(vault, kept.artefacts["dense"], folder_of(workspace) / "model").is_dir()


def test_while_a_run_is_unfinished_nothing_that_it_may_need_is_freed(
    processes: Server, workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    unfinished = running.create_run(workspace, make_recipe("waves.max_waves=1", until="waves"))
    ending = processes.start(folder_of(workspace), unfinished, kill_in="wave-1").wait()
    assert ending.status == -signal.SIGKILL
    gone = run_here(workspace, make_recipe("name=gone", until="seed"))
    age(workspace, hours=2)
    _, went = service.remove_runs(workspace, [gone.run.id], is_dry_run=False)
    assert went.dry_run
    assert go_on(processes, workspace, unfinished).run.status == "done"


def test_a_run_at_work_is_not_removed_nor_is_any_other_that_was_named_with_it(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    idle, at_work = (running.create_run(workspace, make_recipe(f"name={name}")) for name in ("idle", "working"))
    with hold_run(workspace.run_folder(at_work)), pytest.raises(RunBusyError) as caught:
        service.remove_runs(workspace, [idle, at_work], is_dry_run=False)
    assert caught.value.fields == {"run_id": at_work}
    assert {run.id for run in service.list_runs(workspace)} == {idle, at_work}
    assert service.remove_runs(workspace, [idle, at_work], is_dry_run=False)[0] == [idle, at_work]


def test_a_run_that_is_named_twice_is_removed_once(workspace: Workspace, make_recipe: MakeRecipe) -> None:
    run_id = running.create_run(workspace, make_recipe())
    for is_dry_run in (True, False):
        assert service.remove_runs(workspace, [run_id, "latest"], is_dry_run=is_dry_run)[0] == [run_id]
    assert service.list_runs(workspace) == []


def test_a_dry_removal_makes_neither_a_folder_nor_a_lock_but_tells_of_a_run_at_work(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    whole, bare = (running.create_run(workspace, make_recipe(f"name={name}")) for name in ("whole", "bare"))
    shutil.rmtree(workspace.run_folder(bare))
    before = sorted((workspace.folder / "runs").rglob("*"))
    service.remove_runs(workspace, [whole, bare], is_dry_run=True)
    assert sorted((workspace.folder / "runs").rglob("*")) == before
    with hold_run(workspace.run_folder(whole)), pytest.raises(RunBusyError):
        service.remove_runs(workspace, [whole], is_dry_run=True)
