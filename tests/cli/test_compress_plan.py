"""One plan at the command line: budgets hold, the file is what was counted, and what cannot be is said at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SMALL = (
    "--profile", "edge", "--windows", "4", "--window", "32", "--judged", "8", "--threads", "1", "--heal", "0",
    "--trials", "60",
)  # fmt: skip


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the tests of this file keep what was measured."""
    return tmp_path_factory.mktemp("measured")


def test_a_plan_is_chosen_carried_out_and_told_beside_what_was_predicted(
    call: Any, folder: Path, tiny_model_folder: Path, measured: Path
) -> None:
    out, page = folder / "light.gguf", folder / "plan.html"
    words = ("compress", "plan", str(tiny_model_folder), *SMALL, "--cache", str(measured), "--max-loss", "5%")
    result = call(*words, "--run", "--out", str(out), "--page", str(page), "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    outcome, chosen = told["outcome"], told["chosen"]
    assert outcome["size_bytes"] == chosen["size_bytes"] == out.stat().st_size
    assert outcome["size_error"] == 0
    assert 0.5 < outcome["ratio"] < 1.5
    assert outcome["seconds"] > 0
    assert chosen in told["front"]
    assert min(found["size_bytes"] for found in told["front"] if found["rise"]["value"] <= 0.0487) == out.stat().st_size
    assert told["hardware"]["memory_bandwidth"]["bytes_per_second"] > 0
    assert len(told["latency"]["errors"]) == len(told["latency"]["probes"])
    text = page.read_text(encoding="utf-8")
    assert "<title>tiny-llama: one plan</title>" in text
    assert chosen["words"] in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")

    shown = call(*words)
    assert shown.exit_code == 0, shown.stderr
    assert (
        f"Chosen within 255.6 MB, +5 % perplexity: {chosen['words']}." in shown.stdout
        or chosen["words"] in shown.stdout
    )
    assert "plans that no other beats" in shown.stdout


def test_a_budget_that_cannot_be_met_says_what_can(
    call: Any, folder: Path, tiny_model_folder: Path, measured: Path
) -> None:
    words = ("compress", "plan", str(tiny_model_folder), *SMALL, "--cache", str(measured), "--max-bytes", "10kB")
    result = call(*words, "--run", "--out", "light.gguf")
    assert result.exit_code == 2
    assert "No plan at all keeps 10.0 kB; the nearest has" in result.stderr
    assert not (folder / "light.gguf").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--max-bytes", "much"), "--max-bytes takes a size"),
        (("--max-loss", "three"), "--max-loss takes a share"),
        (("--max-loss", "-3%"), "--max-loss takes a share"),
        (("--profile", "phone"), "--profile takes edge, mobile, laptop, server"),
        (("--target", "tpu"), "--target takes cpu, gpu"),
        (("--run",), "--out FILE.gguf"),
    ],
)
def test_what_does_not_read_is_refused_before_anything_is_loaded(
    call: Any, folder: Path, words: tuple[str, ...], told: str
) -> None:
    result = call("compress", "plan", "no-such-model", *words)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_target_without_an_engine_is_refused(call: Any, folder: Path) -> None:
    result = call("compress", "plan", "no-such-model", "--target", "gpu")
    assert result.exit_code == 6
    assert "computes on the processor" in result.stderr
