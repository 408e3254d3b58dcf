"""What people get wrong, end to end: one error with its code, nothing lost, and the run goes on once it is mended."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from birdbone.core import BirdboneError, Workspace
from birdbone.data import load_corpus
from birdbone.pipeline import running, service

from .conftest import MakeRecipe
from .runs import execute_sql, run_here


def refuse(workspace: Workspace, make_recipe: MakeRecipe, *overrides: str, **changes: str) -> dict[str, Any]:
    """Run and return the error, which the run must have kept; its seed step must have given nothing."""
    with pytest.raises(BirdboneError) as caught:
        running.start_run(workspace, make_recipe(*overrides, **changes), listener=lambda *_: None)
    view = service.view_run(workspace, "latest")
    assert view.run.status == "failed"
    assert view.run.error is not None
    assert (view.run.error["code"], view.artefacts) == (caught.value.code, {})
    assert [(step.label, step.status) for step in view.steps] == [("seed", "failed")]
    return view.run.error


@pytest.fixture
def model(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be spoiled."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def test_a_weight_that_is_not_a_number(workspace: Workspace, make_recipe: MakeRecipe, model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    name = next(name for name in weights if "down_proj" in name)
    weights[name][3, 5] = torch.nan
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    error = refuse(workspace, make_recipe, model=str(model))
    assert (error["code"], error["kind"]) == ("models.non_finite_weight", "invalid")
    assert name in error["message"]


def test_a_checkpoint_that_was_cut_off(workspace: Workspace, make_recipe: MakeRecipe, model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    error = refuse(workspace, make_recipe, model=str(model))
    assert (error["code"], error["kind"]) == ("models.corrupt_checkpoint", "invalid")


def test_a_model_that_is_not_there(workspace: Workspace, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    error = refuse(workspace, make_recipe, model=str(tmp_path / "nowhere"))
    assert (error["code"], error["kind"]) == ("models.not_found", "not_found")


def test_a_tokenizer_that_does_not_fit(workspace: Workspace, make_recipe: MakeRecipe, model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens([f"extra{number}" for number in range(9)])
    tokenizer.save_pretrained(model)
    error = refuse(workspace, make_recipe, model=str(model))
    assert (error["code"], error["kind"]) == ("models.tokenizer_mismatch", "invalid")


def test_a_text_with_nothing_in_it(workspace: Workspace, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    error = refuse(workspace, make_recipe, data=str(tmp_path / "empty.txt"))
    assert (error["code"], error["kind"]) == ("data.too_little_text", "invalid")


def test_a_text_that_is_not_there(workspace: Workspace, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    error = refuse(workspace, make_recipe, data=str(tmp_path / "absent.txt"))
    assert (error["code"], error["kind"]) == ("data.not_found", "not_found")


def test_a_text_that_is_too_short_and_is_made_longer_then(
    workspace: Workspace, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    text = "\n\n".join(load_corpus().healing[:60])
    path = tmp_path / "own.txt"
    path.write_text(text[:12_000])
    error = refuse(workspace, make_recipe, "data.num_healing_windows=200", data=str(path), until="log_activations")
    assert (error["code"], error["needed"]) == ("data.too_little_text", 200 * 64)
    path.write_text(text)
    running.resume_run(workspace, "latest", listener=lambda *_: None)
    view = service.view_run(workspace, "latest")
    assert (view.run.status, view.run.error) == ("done", None)
    assert [step.num_tries for step in view.steps] == [2, 1]


@pytest.mark.parametrize(
    ("trouble", "code", "kind"),
    [
        (MemoryError("9 GB"), "pipeline.out_of_memory", "unavailable"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "pipeline.out_of_memory", "unavailable"),
        (OSError(errno.ENOSPC, "No space left on device", "some file"), "core.disk_full", "unavailable"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "some file"), "core.disk_full", "unavailable"),
        (ZeroDivisionError("division by zero"), "pipeline.step_failed", "internal"),
    ],
    ids=["memory", "memory of torch", "disk", "quota", "unknown"],
)
def test_trouble_in_a_step_has_its_code_and_keeps_its_cause(
    workspace: Workspace, make_recipe: MakeRecipe, trouble: Exception, code: str, kind: str
) -> None:
    def meet(*_: Any) -> None:
        raise trouble

    with pytest.raises(BirdboneError) as caught:
        running.start_run(workspace, make_recipe(until="seed"), listener=meet)
    assert (caught.value.code, caught.value.kind) == (code, kind)
    assert caught.value.__cause__ is trouble
    view = service.view_run(workspace, "latest")
    assert (view.run.status, [step.status for step in view.steps]) == ("failed", ["failed"])


def test_a_healing_that_runs_away_does_not_take_the_model_with_it(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    changes = ("waves.heal.learning_rate=0.1", "waves.heal.num_steps=100", "waves.max_waves=1")
    view = run_here(workspace, make_recipe(*changes, until="waves"))
    dense = view.figure("perplexity", view.artefacts["dense"])
    kept = view.figure("perplexity", view.artefacts["state"])
    assert dense is not None
    assert kept is not None
    assert kept.value <= 1.05 * dense.value


def test_a_record_that_does_not_fit_the_database_is_an_error_and_no_silence(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(until="seed")
    running.create_run(workspace, recipe)
    execute_sql(workspace, "CREATE TRIGGER full BEFORE INSERT ON measurements BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(BirdboneError, match="full") as caught:
        running.resume_run(workspace, "latest", listener=lambda *_: None)
    assert caught.value.code == "pipeline.step_failed"
    assert service.view_run(workspace, "latest").measurements == ()
