"""Growth plates, shedding and restoring at the command line, on the tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from birdbone.compress.growth import parse_ledger
from birdbone.models import load_model

SAMPLE = ("--windows", "2", "--window", "32")


def test_plates_are_told_kept_and_drawn(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    files = ("--ledger", str(folder / "plates.json"), "--out", str(folder / "plates.html"))
    told = call("compress", "plates", str(tiny_model_folder), *SAMPLE, "--mark", "0.001", *files)
    assert told.exit_code == 0, told.stderr
    assert "one of the first 1 layers" in told.stdout
    ledger = parse_ledger((folder / "plates.json").read_text(encoding="utf-8"))
    assert ledger.count("marked") == len(ledger.events) > 0
    page = (folder / "plates.html").read_text(encoding="utf-8")
    assert "<title>tiny-llama: growth plates</title>" in page
    assert page.count("<svg") == 2
    assert "http" not in page.replace("http-equiv", "")


def test_a_dry_run_says_what_would_go_and_writes_nothing(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    words = ("--pattern", "neuron", "--share", "0.2", "--dry-run", "--json")
    result = call("compress", "shed", str(tiny_model_folder), *words, *SAMPLE)
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["share"] >= 0.2
    assert told["out"] is None
    assert told["effect"]["perplexity_after"] is None
    assert all(".neuron." in name for name in told["structures"])
    assert list(folder.iterdir()) == []


def test_what_is_shed_is_smaller_and_comes_back_bit_for_bit(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    words = ("--pattern", "targeted", "--structure", "layers.1.attention", "--structure", "layers.2.neuron.?")
    result = call(
        "compress", "shed", str(tiny_model_folder), *words, *SAMPLE, "--judged", "2", "--out", str(folder / "cut")
    )
    assert result.exit_code == 0, result.stderr
    assert "gone: 1 attention, 10 neuron" in result.stdout
    assert "not measured" not in result.stdout
    cut = load_model(str(folder / "cut"))
    assert cut.architecture.layers[1].attention == ()
    assert cut.architecture.layers[2].feed_forward_size == 150
    back = call("compress", "restore", str(folder / "cut"), "--out", str(folder / "back"))
    assert back.exit_code == 0, back.stderr
    before, after = (load_file(path / "model.safetensors") for path in (tiny_model_folder, folder / "back"))
    assert before.keys() == after.keys()
    assert all(before[name].equal(after[name]) for name in before)


def test_a_pattern_of_zeros_leaves_the_size_and_says_so(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    result = call("compress", "shed", str(tiny_model_folder), "--pattern", "2:4", *SAMPLE, "--out", str(folder / "cut"))
    assert result.exit_code == 0, result.stderr
    assert "zeros: 50.0% of the linears" in result.stdout
    w_FD = load_file(folder / "cut" / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    assert int((w_FD.reshape(-1, 4) != 0).sum(dim=1).max()) == 2


@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (("--pattern", "neuron"), "--out FOLDER", 2),
        (("--pattern", "sideways", "--dry-run"), "--pattern sideways", 2),
        (("--pattern", "3:7", "--dry-run"), "needs a width that 7 divides", 2),
        (("--pattern", "targeted", "--structure", "layers.9", "--dry-run"), "layers.9", 3),
        (("--pattern", "targeted", "--structure", "layers.0", "--dry-run"), "protected", 2),
        (("--pattern", "layer", "--share", "0.9", "--dry-run"), "should go", 2),
    ],
)
def test_what_cannot_be_shed_is_refused(
    call: Any, folder: Path, tiny_model_folder: Path, words: tuple[str, ...], told: str, code: int
) -> None:
    result = call("compress", "shed", str(tiny_model_folder), *words, *SAMPLE)
    assert result.exit_code == code
    assert told in result.stderr
    assert list(folder.iterdir()) == []


def test_a_folder_that_no_cut_wrote_cannot_be_restored(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    result = call("compress", "restore", str(tiny_model_folder), "--out", str(folder / "back"))
    assert result.exit_code == 2
    assert "holds nothing that a cut kept" in result.stderr
