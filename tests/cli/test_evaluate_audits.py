"""Fairness and safety at the command line, with the tiny model and files of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.fairness.test_crows_pairs import ROWS, write
from tests.evaluate.safety.test_requests import write_harmful

ON = ("--dtype", "float32", "--threads", "1")


@pytest.fixture
def items(folder: Path) -> Path:
    write_harmful(folder / "items", ("advbench",))
    write(folder / "items" / "crows_pairs_anonymized.csv", ROWS)
    return folder / "items"


def data_of(result: Any) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_what_is_there_is_measured_and_the_rest_is_said_to_be_not(
    call: Any, items: Path, tiny_model_folder: Path
) -> None:
    result = call("eval", "fairness", str(tiny_model_folder), "--items", str(items), "--limit", "1", *ON, "--json")
    found = {row["audit"]: row for row in data_of(result)}
    assert set(found) == {"crows_pairs", "substitution"}
    assert found["crows_pairs"]["num_items"] == 1
    (whole,) = (one for one in found["crows_pairs"]["measurements"] if one["name"] == "crows_pairs.prefers_stereotype")
    assert whole["sample_size"] == 1
    assert whole["low"] <= whole["value"] <= whole["high"]
    (artefact,) = {one["artefact"] for row in found.values() for one in row["measurements"]}
    assert artefact.startswith("b3:")
    for name in ("bbq", "winobias", "winogender"):
        assert f"not measured: {name}" in result.stderr


def test_a_table_tells_interval_expected_value_and_what_was_left_out(
    call: Any, items: Path, tiny_model_folder: Path
) -> None:
    words = ("--items", str(items), "--only", "crows_pairs", *ON)
    result = call("eval", "fairness", str(tiny_model_folder), *words)
    assert result.exit_code == 0, result.stderr
    assert "prefers_stereotype" in result.stdout
    assert "without fault" in result.stdout
    assert "pseudo-log-likelihood" in result.stdout


def test_safety_is_a_table_for_each_set_and_replies_can_be_read(
    call: Any, items: Path, folder: Path, tiny_model_folder: Path
) -> None:
    words = ("--items", str(items), "--limit", "2", "--max-new-tokens", "4", "--replies", "replies.jsonl", *ON)
    result = call("eval", "safety", str(tiny_model_folder), *words, "--json")
    assert [row["audit"] for row in data_of(result)] == ["harmful.advbench", "harmless", "classifiers"]
    assert "not measured: harmbench" in result.stderr
    written = [json.loads(line) for line in (folder / "replies.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["audit"] for row in written] == ["harmful.advbench", "harmless", "harmless"]
    assert set(written[0]) == {"audit", "kind", "request", "reply", "stance"}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("fairness", "--only", "equity"), 2, "--only takes crows_pairs, bbq"),
        (("fairness", "--only", "bbq"), 3, "bbq needs bbq, and no folder"),
        (("safety", "--only", "jailbreaks"), 2, "--only takes harmbench"),
        (("safety", "--only", "harmbench", "--items", "items"), 3, "harmbench needs harmbench/harmbench"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(
    call: Any, items: Path, tiny_model_folder: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    result = call("eval", words[0], str(tiny_model_folder), *words[1:])
    assert result.exit_code == code, result.stderr
    assert told in result.stderr
    assert "Traceback" not in result.stderr
