"""A correction is exported only if it brings the whole model nearer to the dense one."""

from __future__ import annotations

from typing import Any

import pytest

from birdbone.core import Workspace
from birdbone.pipeline.recipe import load_recipe
from birdbone.pipeline.service import RunView

from ..conftest import RECIPES, MakeRecipe
from ..runs import run_here

QUICK = ("waves.max_waves=1", "waves.heal.num_steps=0")


def low_rank_of(view: RunView) -> tuple[dict[str, Any], dict[str, str]]:
    result = next(step.result for step in view.steps if step.label == "low_rank")
    assert result is not None
    return result["notes"], result["artefacts"]


def test_the_correction_of_the_reference_run_was_decided_by_the_divergence(
    reference: tuple[Workspace, RunView],
) -> None:
    notes, artefacts = low_rank_of(reference[1])
    assert notes["kl_before"] > 0
    assert notes["is_left_out"] is (notes["kl_after"] >= notes["kl_before"])
    assert ("quantized" in artefacts) is not notes["is_left_out"]


@pytest.mark.parametrize("num_deciding", [1, 4])
def test_one_that_takes_the_model_further_away_is_left_out_and_what_was_quantized_is_exported(
    workspace: Workspace, make_recipe: MakeRecipe, num_deciding: int
) -> None:
    reckless = ("low_rank.learning_rate=0.3", "low_rank.num_steps=6", f"low_rank.num_deciding_windows={num_deciding}")
    view = run_here(workspace, make_recipe(*QUICK, *reckless, until="export"))
    notes, artefacts = low_rank_of(view)
    if notes["num_merged"] == 0:
        assert notes["kl_after"] == notes["kl_before"]
    assert notes["num_deciding_windows"] == num_deciding
    assert notes["is_left_out"]
    assert "quantized" not in artefacts
    quantize = next(step.result for step in view.steps if step.label == "quantize")
    assert quantize is not None
    assert view.artefacts["quantized"] == quantize["artefacts"]["quantized"]


def test_without_windows_to_spare_the_calibration_windows_decide(workspace: Workspace, make_recipe: MakeRecipe) -> None:
    all_of_them = load_recipe(RECIPES / "tiny.yaml")["data"]["num_healing_windows"]
    view = run_here(workspace, make_recipe(*QUICK, f"low_rank.num_windows={all_of_them}", until="low_rank"))
    assert low_rank_of(view)[0]["kl_before"] > 0
