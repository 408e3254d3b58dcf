"""Scoring at the command line, on the tiny model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from birdbone.compress.importance.sparse import sparse_from_tensors
from birdbone.models.tensors import read_tensors

SMALL = ("--windows", "2", "--window", "24", "--threads", "1")


def test_a_model_is_scored_and_everything_is_written(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    words = (*SMALL, "--metric", "wanda", "--metric", "fisher", "--keep", "0.02", "--out", "found")
    result = call("compress", "score", str(tiny_model_folder), *words, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told == json.loads((folder / "found" / "importance.json").read_text())
    assert told["about"]["num_windows"] == 2
    assert set(told["about"]["metrics"]) == {"wanda", "fisher"}
    assert "<title>tiny-llama: importance of weights</title>" in (folder / "found" / "importance.html").read_text()
    kept = sparse_from_tensors(read_tensors(folder / "found" / "scores.safetensors"))
    assert len(kept) == 2 * 28
    scores = kept["model.layers.0.mlp.up_proj.wanda"]
    assert len(scores.indices_K) == int(0.02 * 160 * 64)
    row = next(
        row for row in told["summaries"] if (row["metric"], row["name"]) == ("wanda", "model.layers.0.mlp.up_proj")
    )
    assert scores.scale == pytest.approx(row["high"])
    names = {path.name for path in (folder / "found").iterdir()}
    assert {word.removeprefix("written: found/") for word in result.stderr.splitlines() if "written" in word} == names


def test_without_a_folder_tables_are_printed_and_nothing_is_written(
    call: Any, folder: Path, tiny_model_folder: Path
) -> None:
    result = call("compress", "score", str(tiny_model_folder), *SMALL, "--metric", "magnitude", "--metric", "ria")
    assert result.exit_code == 0, result.stderr
    assert "172,032 weights, 2 windows of 24 tokens" in result.stdout
    assert "What one threshold for 50 % would drop of each role" in result.stdout
    assert "How far metrics agree within linears" in result.stdout
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "exit_code", "told"),
    [
        (("--metric", "guess"), 2, "--metric takes magnitude, wanda, ria, hessian, gradient, fisher, pruner_zero"),
        (("--keep-end", "middle"), 2, "--keep-end takes top, bottom"),
        (("--pictures",), 2, "--pictures needs --out"),
        (("--text", "nowhere.txt"), 3, "There is no file or folder 'nowhere.txt'"),
        (("--text", "short.txt", "--windows", "999"), 2, "999 windows of 256 need"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    call: Any, folder: Path, tiny_model_folder: Path, words: tuple[str, ...], exit_code: int, told: str
) -> None:
    (folder / "short.txt").write_text("The wing folds at the wrist and the shoulder. " * 300)
    result = call("compress", "score", str(tiny_model_folder), "--threads", "1", *words)
    assert (result.exit_code, told in result.stderr) == (exit_code, True), result.stderr


def test_pictures_without_their_library_are_refused_before_the_work(
    call: Any, folder: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = call("compress", "score", str(tiny_model_folder), "--out", "found", "--pictures")
    assert result.exit_code == 6
    assert "birdbone[plots]" in result.stderr
    assert not (folder / "found").exists()
