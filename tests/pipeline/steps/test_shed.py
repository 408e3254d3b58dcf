"""Structures go in cuts: each is judged, the one that hurts is undone, and waves and bits start from what is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdbone.core import Workspace, make_workspace
from birdbone.models import load_model
from birdbone.pipeline.citations import cite_run
from birdbone.pipeline.errors import BadRecipeError
from birdbone.pipeline.recipe import load_recipe, resolve_recipe
from birdbone.pipeline.report.content import build_report
from birdbone.pipeline.report.cuts import read_cuts
from birdbone.pipeline.report.page import render_report
from birdbone.pipeline.service import RunView
from birdbone.vault import checkout, log, open_vault, refs

from ..conftest import RECIPES
from ..runs import run_here

CUTS = {
    "kind": "shed",
    "pattern": {"kind": "neuron", "share": 0.2},
    "schedule": {"kind": "linear", "num_waves": 2},
    "num_windows": 8,
    "heal": {"num_steps": 16, "num_windows": 4, "batch_size": 2},
    "max_rise": 0.5,
}


def recipe_with(shed: dict, tiny_model_folder: Path, *overrides: str, until: str | None = None):
    raw = dict(load_recipe(RECIPES / "tiny.yaml"))
    raw["steps"] = [raw["steps"][0], shed, *raw["steps"][1:]]
    return resolve_recipe(raw, overrides=overrides, model=str(tiny_model_folder), until=until)


@pytest.fixture(scope="module")
def cut(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, RunView]:
    workspace = make_workspace(tmp_path_factory.mktemp("cut"))[0]
    recipe = recipe_with(CUTS, tiny_model_folder, "waves.max_waves=1", "evaluate.gate=[]")
    return workspace, run_here(workspace, recipe)


def test_each_cut_takes_its_share_and_is_a_version(cut: tuple[Workspace, RunView]) -> None:
    workspace, view = cut
    cuts = read_cuts(view)
    assert [found.verdict for found in cuts] == ["good", "good"]
    shares = [found.share_gone.value for found in cuts if found.share_gone is not None]
    assert 0.1 <= shares[0] < shares[1]
    assert 0.2 <= shares[1] < 0.3
    assert all(found.structures["neuron"] > 0 and len(found.errors_after) == 4 for found in cuts)
    versions = log(open_vault(workspace.vault_folder), f"refs/heads/runs/{view.run.id}")
    assert sum(version.message.startswith("cut ") for version in versions) == 2


def test_waves_and_bits_start_from_what_is_left_and_the_file_is_really_smaller(
    cut: tuple[Workspace, RunView], tmp_path: Path
) -> None:
    workspace, view = cut
    assert view.run.status == "done"
    vault = open_vault(workspace.vault_folder)
    left = load_model(str(checkout(vault, view.artefacts["base"], tmp_path / "base"))).architecture
    final = load_model(str(checkout(vault, view.artefacts["final"], tmp_path / "final"))).architecture
    dense = load_model(str(checkout(vault, view.artefacts["dense"], tmp_path / "dense"))).architecture
    widths = [layer.feed_forward_size for layer in left.layers]
    assert [layer.feed_forward_size for layer in final.layers] == widths
    assert sum(widths) < sum(layer.feed_forward_size for layer in dense.layers)
    wave = view.figure("perplexity_ratio", view.artefacts["final"])
    assert wave is not None
    assert view.figure("decode_rate", view.artefacts["final_gguf"]) is not None


def test_the_page_tells_the_cuts_and_the_methods(cut: tuple[Workspace, RunView]) -> None:
    _, view = cut
    page = render_report(build_report(view))
    assert "Structures taken out" in page
    assert "what the cuts left" in page
    assert "kurtic2023ziplm" in [citation.key for citation in cite_run(view)]


def test_a_cut_that_hurts_is_undone_and_no_other_follows(tiny_model_folder: Path, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)[0]
    recipe = recipe_with(CUTS | {"max_rise": 1e-6}, tiny_model_folder, until="shed")
    view = run_here(workspace, recipe)
    (found,) = read_cuts(view)
    assert found.verdict == "undone"
    assert "base" not in view.artefacts
    names = refs(open_vault(workspace.vault_folder))
    tagged = names[f"refs/tags/runs/{view.run.id}-cut-1-undone"]
    assert names[f"refs/heads/runs/{view.run.id}"] != tagged
    seed = next(step.result for step in view.steps if step.kind == "seed" and step.result)
    assert names[f"refs/heads/runs/{view.run.id}"] == seed["notes"]["version"]


def test_whole_layers_go_without_block_by_block_healing(tiny_model_folder: Path, tmp_path: Path) -> None:
    shed = CUTS | {"pattern": {"kind": "targeted", "structures": ["layers.2"]}, "max_rise": 1000}
    view = run_here(make_workspace(tmp_path)[0], recipe_with(shed, tiny_model_folder, until="log_activations"))
    (found,) = read_cuts(view)
    assert (found.num_layers, found.errors_after) == (3, ())


def test_cuts_after_the_activations_were_logged_are_refused(tiny_model_folder: Path) -> None:
    raw = dict(load_recipe(RECIPES / "tiny.yaml"))
    raw["steps"] = [*raw["steps"][:2], CUTS, *raw["steps"][2:]]
    with pytest.raises(BadRecipeError, match="before that step"):
        resolve_recipe(raw, model=str(tiny_model_folder))
