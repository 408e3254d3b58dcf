"""A wave that hurts is undone: the run goes on from the last good state, and what was undone can still be looked at."""

from __future__ import annotations

from itertools import pairwise

import pytest

from birdbone.core import Workspace, make_workspace
from birdbone.pipeline.citations import cite_run
from birdbone.pipeline.service import RunView
from birdbone.vault import log, open_vault, read_version, refs

from ..conftest import MakeRecipe
from ..runs import run_here

# On the tiny model without healing: +0.2 %, +0.4 %, +1.4 %, +2.6 % over the dense model.
HURTING = (
    "waves.shed.fraction=0.10",
    "waves.importance.kind=magnitude",
    "waves.refit.num_iterations=1",
    "waves.heal.num_steps=0",
    "waves.regrow.fraction=0",
    "waves.stop_loss.max_total_rise=0.008",
)


def waves_of(view: RunView) -> list[dict]:
    return [step.result["notes"] for step in view.steps if step.kind == "waves" and step.result]


@pytest.fixture(scope="module")
def hurt(make_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, RunView]:
    workspace = make_workspace(tmp_path_factory.mktemp("hurt"))[0]
    recipe = make_recipe(*HURTING, "waves.max_waves=6", until="quantize")
    return workspace, run_here(workspace, recipe)


def test_two_waves_in_a_row_that_hurt_are_undone_and_end_the_waves(hurt: tuple[Workspace, RunView]) -> None:
    workspace, undone = hurt
    waves = waves_of(undone)
    assert [wave["verdict"] for wave in waves] == ["good", "good", "probation", "undone"]
    assert "2 waves in a row" in waves[3]["reason"]
    good = waves[1]["good_states"][-1]
    assert (good["wave"], good["version"]) == (2, waves[1]["version"])
    assert waves[3]["good_states"] == waves[1]["good_states"]

    vault = open_vault(workspace.vault_folder)
    names, branch = refs(vault), f"refs/heads/runs/{undone.run.id}"
    assert names[branch] == good["version"]
    assert read_version(vault, names[branch]).artefact == good["state"] == undone.artefacts["state"]
    assert undone.artefacts["masks"] == good["masks"]
    assert undone.artefacts["candidate"] == good["state"]

    tag = f"refs/tags/runs/{undone.run.id}-wave-4-undone"
    assert names[tag] == waves[3]["version"]
    assert [version.id for version in log(vault, tag)][:2] == [waves[3]["version"], waves[2]["version"]]
    assert waves[2]["version"] not in {version.id for version in log(vault, branch)}


def test_each_wave_sheds_at_most_its_share_of_what_is_left_and_what_was_shed_stays_so(
    hurt: tuple[Workspace, RunView],
) -> None:
    shares = [row.value for row in hurt[1].measurements if row.name == "sparsity"]
    assert [0.08 < (after - before) / (1 - before) <= 0.10 for before, after in pairwise([0.0, *shares])] == [True] * 4
    by_linear = [wave["sparsity_by_linear"] for wave in waves_of(hurt[1])]
    assert all(after[path] > before[path] for before, after in pairwise(by_linear) for path in before)


def test_a_wave_still_on_probation_when_the_waves_end_is_undone(workspace: Workspace, make_recipe: MakeRecipe) -> None:
    view = run_here(workspace, make_recipe(*HURTING, "waves.max_waves=3", until="quantize"))
    waves = waves_of(view)
    good = waves[1]["good_states"][-1]
    assert view.artefacts["candidate"] == good["state"]
    assert (view.artefacts["state"], view.artefacts["masks"]) == (good["state"], good["masks"])
    assert refs(open_vault(workspace.vault_folder))[f"refs/heads/runs/{view.run.id}"] == good["version"]


def test_without_one_good_wave_the_run_goes_on_from_the_dense_model(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    changes = (*HURTING, "waves.stop_loss.max_rise=0.0001", "waves.stop_loss.patience=1")
    view = run_here(workspace, make_recipe(*changes, until="quantize"))
    assert [wave["verdict"] for wave in waves_of(view)] == ["undone"]
    assert view.artefacts["candidate"] == view.artefacts["state"] == view.artefacts["dense"]
    assert "masks" not in view.artefacts
    seed = next(step.result for step in view.steps if step.label == "seed")
    assert refs(open_vault(workspace.vault_folder))[f"refs/heads/runs/{view.run.id}"] == seed["notes"]["version"]


def test_a_spike_lets_weights_grow_back_before_the_wave_is_judged(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    changes = ("waves.max_waves=1", "waves.shed.fraction=0.10", "waves.heal.num_steps=0", "waves.regrow.spike=1e-6")
    view = run_here(workspace, make_recipe(*changes, until="waves"))
    wave = waves_of(view)[0]
    num_weights = next(row.sample_size for row in view.measurements if row.name == "sparsity")
    num_shed = view.figure("sparsity").value * num_weights
    assert 0 < wave["num_regrown"] <= 0.05 * (num_shed + wave["num_regrown"]) + 1
    assert wave["perplexity"] == view.figure("perplexity").value


def test_a_wave_may_shed_by_the_gradients_of_the_state_that_it_begins_with(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    changes = ("waves.max_waves=1", "waves.shed.fraction=0.10", "waves.heal.num_steps=0", "waves.regrow.fraction=0")
    view = run_here(workspace, make_recipe(*changes, "waves.importance.kind=fisher", until="waves"))
    activations = next(step.result["notes"] for step in view.steps if step.kind == "log_activations" and step.result)
    assert len(activations["importance_by_linear"]) == 28
    assert all(0 < value < 1e-3 for value in activations["importance_by_linear"].values())
    assert 0.08 < view.figure("sparsity").value <= 0.10
    assert "theis2018faster" in {citation.key for citation in cite_run(view)}


@pytest.mark.parametrize("kind", ["distill", "qlora"])
def test_a_wave_notes_what_healing_of_the_whole_model_brought(
    workspace: Workspace, make_recipe: MakeRecipe, kind: str
) -> None:
    changes = ("waves.max_waves=1", f"waves.heal.kind={kind}", "waves.heal.num_steps=2", "waves.shed.fraction=0.10")
    view = run_here(workspace, make_recipe(*changes, until="waves"))
    (notes,) = waves_of(view)
    assert notes["healing"] == kind
    assert "healing_errors_before" not in notes
    loss = notes["healing_loss"]
    assert loss["is_kept"] == (loss["after"] <= loss["before"])
    assert notes["sparsity_by_linear"]
