"""Recipes at the command line: checked whole, changed by options, run, compared and cited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from birdbone.cli.settings_help import describe_kinds
from birdbone.compress.config import AllocationConfig
from birdbone.core import Workspace, read_yaml, write_yaml
from birdbone.pipeline.catalogue import settings_types
from birdbone.pipeline.recipe import resolve_recipe

from .recorded import RAW, record_run

SHIPPED = Path(__file__).parents[2] / "recipes" / "demo.yaml"
SETTINGS = [row for entry in describe_kinds() for row in entry.settings]


@pytest.fixture
def recipe(folder: Path) -> Path:
    path = folder / "recipe.yaml"
    write_yaml(RAW, path)
    return path


def test_a_dry_run_prints_the_recipe_that_would_run(call: Any, recipe: Path) -> None:
    result = call("run", str(recipe), "--dry-run")
    assert result.exit_code == 0
    assert resolve_recipe(read_yaml(result.stdout)) == resolve_recipe(RAW)
    assert resolve_recipe(json.loads(call("run", str(recipe), "--dry-run", "--json").stdout)) == resolve_recipe(RAW)


def test_a_dry_run_leaves_nothing_behind(call: Any, recipe: Path) -> None:
    call("run", str(recipe), "--dry-run")
    assert [path.name for path in recipe.parent.iterdir()] == ["recipe.yaml"]


def test_options_change_the_recipe(call: Any, recipe: Path) -> None:
    words = ("--set", "waves.max_waves=3", "--set", "seed=7", "--phase", "waves", "--dry-run")
    values = read_yaml(call("run", str(recipe), *words).stdout)
    assert values["seed"] == 7
    assert [step["kind"] for step in values["steps"]] == ["seed", "log_activations", "waves"]
    assert values["steps"][-1]["max_waves"] == 3


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (("--set", "waves.max_waves=zero"), "pipeline.bad_recipe", 2),
        (("--set", "nothing.here=1"), "pipeline.bad_recipe", 2),
        (("--phase", "moult"), "pipeline.unknown_step", 2),
        (("--model", "no/such/model.gguf"), "cli.model_missing", 3),
        (("--data", "nowhere.txt"), "data.not_found", 3),
        (("--resume", "latest"), "cli.usage", 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_does_not_fit_is_told_before_anything_runs(
    call: Any, recipe: Path, words: tuple[str, ...], code: str, status: int
) -> None:
    result = call("run", str(recipe), *words, "--dry-run")
    assert result.stderr.startswith(f"error [{code}] ")
    assert (result.exit_code, result.stdout) == (status, "")


def test_a_tiny_text_is_found_out_in_a_dry_run(call: Any, recipe: Path) -> None:
    (recipe.parent / "tiny.txt").write_text("Too short.")
    assert call("run", str(recipe), "--data", "tiny.txt", "--dry-run").exit_code == 2


def test_without_a_recipe_it_takes_the_demo_or_says_what_to_name(call: Any, folder: Path) -> None:
    result = call("run", "--dry-run")
    assert (result.exit_code, "[cli.no_recipe]" in result.stderr) == (2, True)
    (folder / "recipes").mkdir()
    (folder / "recipes" / "demo.yaml").write_text(SHIPPED.read_text())
    assert read_yaml(call("run", "--dry-run", "--model", str(folder)).stdout)["name"] == "demo"


def test_a_done_run_is_not_resumed(call: Any, finished_run: str) -> None:
    result = call("run", "--resume", finished_run)
    assert (result.exit_code, "[pipeline.run_not_resumable]" in result.stderr) == (4, True)


def test_a_dry_resume_shows_the_recipe_of_the_run(call: Any, workspace: Workspace, tiny_model_folder: Path) -> None:
    overrides = (f"model={tiny_model_folder}", "seed=5")
    run_id = record_run(workspace, "demo-20260101-000000-cccc", num_steps=1, status="stopped", overrides=overrides)
    assert read_yaml(call("run", "--resume", "latest", "--dry-run").stdout)["seed"] == 5
    assert call("status", run_id).exit_code == 0


def test_a_run_makes_its_workspace_shows_its_steps_and_prints_its_result(
    call: Any, recipe: Path, tiny_model_folder: Path
) -> None:
    small = ("data.window=32", "data.num_calibration_windows=2", "data.num_healing_windows=2", "dtype=float32")
    words = [word for text in (*small, "data.num_heldout_windows=8", "num_threads=1") for word in ("--set", text)]
    result = call(
        "--verbose",
        "run",
        str(recipe),
        "--model",
        str(tiny_model_folder),
        *words,
        "--phase",
        "log_activations",
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    figures = {row["name"]: row for row in data["figures"]}
    assert figures["perplexity"]["before"]["value"] > 1
    assert figures["decode_speedup"]["after"] is None
    talk = result.stderr.splitlines()
    assert talk[0].startswith("made a workspace in ")
    assert any(line.startswith("seed: held-out perplexity") for line in talk)
    assert any(line.startswith("seed: done: perplexity ") for line in talk)
    assert talk[-1] == "run done"
    assert "\x1b" not in result.stderr
    assert call("run", "--resume", data["run"]).exit_code == 4


def test_phases_describe_every_kind_and_every_setting() -> None:
    kinds = describe_kinds()
    assert [entry.kind for entry in kinds] == ["recipe", *settings_types()]
    assert all(entry.help for entry in kinds)
    assert [row.path for row in SETTINGS if not row.help] == []
    assert len(SETTINGS) > 40


@pytest.mark.parametrize(
    "setting", [row for row in SETTINGS if row.default and " of them" not in row.default], ids=lambda row: row.path
)
def test_every_path_that_phases_names_can_be_set(setting: Any) -> None:
    kinds = ("seed", "shed", "log_activations", "waves", "quantize", "low_rank", "export", "judge", "version")
    raw = {"name": "all_kinds", "steps": [{"kind": kind} for kind in kinds]}
    value = {"unset": "null", "none": "[]"}.get(setting.default, setting.default)
    resolved = resolve_recipe(raw, overrides=[f"{setting.path}={value}"])
    if setting.path.startswith("quantize.format.allocation."):  # there is none unless one of its settings is given
        quantize = resolved.step("quantize")
        assert quantize is not None
        assert quantize.format.allocation == AllocationConfig()
    else:
        assert resolved == resolve_recipe(raw)


def test_phases_of_one_kind(call: Any) -> None:
    shown = call("phases", "waves").stdout
    assert "waves.shed.fraction" in shown
    assert "seed:" not in shown
    assert json.loads(call("phases", "export", "--json").stdout)[0]["settings"] == []
    (quantize,) = json.loads(call("phases", "quantize", "--json").stdout)
    assert quantize["needs"] == ["seed", "log_activations"]
    types = {row["path"]: row["type"] for row in quantize["settings"]}
    assert types["quantize.rounding.kind"] == "nearest | importance | feedback | descent"
    assert types["quantize.format.by_role"] == "map"
    assert call("phases", "moult").exit_code == 2


def test_compare_puts_two_runs_side_by_side(call: Any, workspace: Workspace, finished_run: str) -> None:
    other = record_run(workspace, "demo-20260101-000000-eeee", num_steps=5)
    data = json.loads(call("compare", finished_run, other, "--json").stdout)
    sizes = next(row for row in data["figures"] if row["name"] == "size")
    assert (sizes["a"]["value"], sizes["b"], sizes["difference"]) == (90e6, None, None)
    perplexity = next(row for row in data["figures"] if row["name"] == "perplexity")
    assert perplexity["difference"] == 0
    assert "not measured" in call("compare", finished_run, other).stdout


def test_cite_prints_what_the_run_used(call: Any, finished_run: str) -> None:
    shown = call("cite", finished_run).stdout
    assert "2306.11695" in shown
    assert "1911.11134" not in shown, "nothing grew back"
    assert {entry["key"] for entry in json.loads(call("cite", finished_run, "--json").stdout)} >= {
        "birdbone",
        "llamacpp",
    }
