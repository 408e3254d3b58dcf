"""Judging a model at the command line, with the tiny model and items of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.benchmarks.texts import write_all_items
from tests.evaluate.services import completions, service

from birdbone.core import Workspace
from birdbone.evaluate.benchmarks import BENCHMARKS
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.models import load_model

FEW = ("--only", "piqa", "--only", "hellaswag", "--dtype", "float32", "--threads", "1")


@pytest.fixture
def items(folder: Path) -> Path:
    write_all_items(folder / "items")
    return folder / "items"


def data_of(result: Any, *, ends_with: int = 0) -> Any:
    assert result.exit_code == ends_with, result.stderr
    return json.loads(result.stdout)


def test_a_model_is_asked_once_and_its_answers_are_kept(
    call: Any, workspace: Workspace, items: Path, tiny_model_folder: Path
) -> None:
    words = ("eval", "run", str(tiny_model_folder), "--items", str(items), *FEW, "--json")
    first = data_of(call(*words))
    assert {row["benchmark"]: row["num_items"] for row in first} == {"piqa": 1, "hellaswag": 2}
    assert all(0 <= row["low"] <= row["value"] <= row["high"] <= 1 for row in first)
    kept = sorted((workspace.folder / "evaluations").glob("*.json"))
    assert len(kept) == 2
    times = [path.stat().st_mtime_ns for path in kept]
    assert data_of(call(*words)) == first
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert data_of(call(*words, "--fresh")) == first
    assert [path.stat().st_mtime_ns for path in kept] != times


def test_a_model_behind_a_service_is_judged_as_the_same_model_here(
    call: Any, workspace: Workspace, items: Path, tiny_model_folder: Path
) -> None:
    loaded = load_model(str(tiny_model_folder))
    here = data_of(call("eval", "run", str(tiny_model_folder), "--items", str(items), *FEW, "--json"))
    with service(completions(TorchJudge(loaded.model, loaded.tokenizer))) as url:
        served = ("--served-model", "tiny", "--tokenizer", str(tiny_model_folder), "--context", "256")
        there = data_of(call("eval", "run", url, *served, "--items", str(items), *FEW, "--json"))
    assert [(row["benchmark"], row["value"]) for row in there] == [(row["benchmark"], row["value"]) for row in here]
    assert {row["settings"]["engine"] for row in there} == {"endpoint"}


def test_a_suite_shared_out_over_processes_gives_the_same_answers(
    call: Any, workspace: Workspace, items: Path, tiny_model_folder: Path
) -> None:
    words = ("eval", "run", str(tiny_model_folder), "--items", str(items), *FEW, "--json")
    shared = data_of(call(*words, "--processes", "2"))
    kept = sorted((workspace.folder / "evaluations").glob("*.json"))
    times = [path.stat().st_mtime_ns for path in kept]
    assert data_of(call(*words)) == shared
    assert [path.stat().st_mtime_ns for path in kept] == times
    failed = call(*words, "--processes", "2", "--fresh", "--items", str(items / "none"))
    assert failed.exit_code == 3, failed.stderr
    assert "evaluate.missing_benchmark" in failed.stderr


def test_a_model_beside_itself_has_lost_nothing(
    call: Any, workspace: Workspace, items: Path, tiny_model_folder: Path
) -> None:
    model = str(tiny_model_folder)
    (found,) = data_of(call("eval", "compare", model, model, "--items", str(items), *FEW, "--json"))
    assert {row["benchmark"] for row in found["benchmarks"]} == {"piqa", "hellaswag"}
    assert all(row["difference"]["value"] == 0 and row["adjusted_p_value"] == 1 for row in found["benchmarks"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "MODEL", "--suite", "huge"), "--suite takes quick, core, full"),
        (("run", "MODEL", "--only", "iq"), "--only takes"),
        (("run", "MODEL", "--engine", "vllm"), "--engine takes torch, llama.cpp"),
        (("run", "MODEL", "--engine", "llama.cpp"), "llama.cpp runs a .gguf file"),
        (("run", "http://127.0.0.1:9/v1"), "--served-model"),
        (("compare", "MODEL"), "at least one candidate"),
        (("run", "no/such/model/here"), "There is no model"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(
    call: Any, workspace: Workspace, tiny_model_folder: Path, words: tuple[str, ...], told: str
) -> None:
    result = call("eval", *(str(tiny_model_folder) if word == "MODEL" else word for word in words))
    assert result.exit_code in (2, 3)
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_every_benchmark_is_listed_with_its_files(call: Any) -> None:
    rows = data_of(call("eval", "list", "--json"))
    assert {row["name"] for row in rows} == set(BENCHMARKS)
    assert all(row["files"] for row in rows)
