"""The worker's questions and answers, and what a parent makes of a worker that ends."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from birdbone.core import children
from birdbone.evaluate.cost.child import Child
from birdbone.evaluate.cost.results import Load, MachineRates, Memory, Profile, Turn
from birdbone.evaluate.cost.worker import Order, Surroundings, serve
from birdbone.evaluate.errors import CostWorkerError


def order(spec: str) -> Order:
    return Order(spec=spec, engine="torch", dtype="float32", num_threads=1, num_ctx=64)


def answers_of(spec: str, *questions: dict[str, Any]) -> list[dict[str, Any]]:
    told = io.StringIO()
    serve(order(spec), io.StringIO("".join(json.dumps(question) + "\n" for question in questions)), told)
    return [json.loads(line) for line in told.getvalue().splitlines()]


def test_every_question_has_its_answer(tiny_model_folder: Path) -> None:
    load, prefill, decode, memory, profile, where = answers_of(
        str(tiny_model_folder),
        {"ask": "load"},
        {"ask": "prefill", "num_tokens": 12},
        {"ask": "decode", "num_prompt": 4, "num_tokens": 3},
        {"ask": "memory"},
        {"ask": "profile", "num_prompt": 4, "num_tokens": 2, "phase": "prefill"},
        {"ask": "surroundings"},
    )
    loaded = Load.model_validate(load["answer"])
    assert 0 < loaded.before_bytes <= loaded.peak_bytes
    timed = [Turn.model_validate(found["answer"]) for found in (prefill, decode)]
    assert [turn.num_tokens for turn in timed] == [12, 3]
    assert all(turn.wall_seconds > 0 for turn in timed)
    assert Memory.model_validate(memory["answer"]).peak_bytes >= loaded.peak_bytes
    assert Profile.model_validate(profile["answer"]).flame.name == "prefill"
    assert Surroundings.model_validate(where["answer"]).device in ("cpu", "cuda")


def test_an_error_of_a_room_is_an_answer(tmp_path: Path) -> None:
    (found,) = answers_of(str(tmp_path / "nothing"), {"ask": "load"})
    assert found["error"]["code"] == "models.not_found"


def child_that(program: str) -> tuple[subprocess.Popen[str], Any]:
    errors = TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
    )
    return process, errors


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import sys; sys.stderr.write('no more paper\\n'); sys.exit(3)", "no more paper"),
        ("import os; input(); os.kill(os.getpid(), 9)", "signal 9"),
        ("raise SystemExit(4)", "exit status 4"),
    ],
)
def test_a_worker_that_ends_is_an_error_with_its_last_words(program: str, told: str) -> None:
    process, errors = child_that(program)
    with process, errors, pytest.raises(CostWorkerError, match=told) as caught:
        Child(order("a-model"), children.Child(process, errors)).ask("memory", Memory)
    assert "a-model" in caught.value.message
    assert ("memory ends a process so" in caught.value.hint) == (told == "signal 9")


def test_an_error_keeps_its_code_and_kind() -> None:
    line = json.dumps(
        {"error": {"code": "models.x", "kind": "not_found", "message": "gone", "hint": "look", "spec": "m"}}
    )
    process, errors = child_that(f"input(); print({line!r}, flush=True); input()")
    with process, errors:
        with pytest.raises(CostWorkerError, match="gone") as caught:
            Child(order("m"), children.Child(process, errors)).ask("load", Load)
        process.kill()
    assert (caught.value.code, caught.value.kind, caught.value.hint) == ("models.x", "not_found", "look")


def test_an_answer_is_read_as_what_was_asked_for() -> None:
    rates = MachineRates(bytes_per_second=2.0, flops_per_second=3.0, bandwidth_method="a", matmul_method="b")
    line = json.dumps({"answer": rates.model_dump()})
    process, errors = child_that(
        f"import json; assert json.loads(input()) == {{'ask': 'probe', 'n': 1}}; print({line!r})"
    )
    with process, errors:
        assert Child(order("m"), children.Child(process, errors)).ask("probe", MachineRates, n=1) == rates
