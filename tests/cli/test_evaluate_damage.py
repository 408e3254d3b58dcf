"""Asking at the command line whether a changed model is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from birdbone.cli.evaluate.damage import check_damage
from birdbone.evaluate.damage import Tolerance
from birdbone.models import load_model, save_model


def found_of(model: Path, against: Path, *, nats: float = 0.01) -> dict[str, Any]:
    found = check_damage(str(model), str(against), tolerance=Tolerance(nats=nats), seed=0, num_threads=1)
    return {row.name: row for row in found}


@pytest.fixture
def headless(folder: Path, tiny_model_folder: Path) -> Path:
    """The tiny model without a head of its first layer."""
    loaded = load_model(str(tiny_model_folder))
    with torch.no_grad():
        loaded.model.model.layers[0].self_attn.o_proj.weight[:, :16] = 0
    save_model(loaded.model, loaded.tokenizer, folder / "headless")
    return folder / "headless"


def test_a_dead_head_is_told_with_its_figures_and_passes_only_for_who_allows_it(
    tiny_model_folder: Path, headless: Path
) -> None:
    found = found_of(headless, tiny_model_folder)
    assert found["damage"].outcome == "fail"
    assert found["damage"].reason.startswith("Damaged at 0.01 nats a token, by 8,192 tokens. Likely what serves few")
    divergence = found["damage.divergence"]
    assert divergence.outcome == "fail"
    assert divergence.figures["limit"] == 0.01 < divergence.figures["low"] < divergence.figures["value"]
    allowed = 2 * found["damage.late_divergence"].figures["high"]
    assert found_of(headless, tiny_model_folder, nats=allowed)["damage"].outcome == "pass"


def test_the_command_checks_a_model_against_a_baseline(call: Any, tiny_model_folder: Path, headless: Path) -> None:
    words = ("eval", "test", str(headless), "--against", str(tiny_model_folder), "--tolerance", "0.001")
    result = call(*words, "--threads", "1", "--json")
    assert result.exit_code == 1, result.stderr
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["damage"]["outcome"] == "fail"
    assert rows["damage"]["figures"]["tolerance_nats"] == 0.001
    assert "agreement.likelihoods" not in rows


def test_a_service_gives_no_logits_so_nothing_is_claimed(tiny_model_folder: Path) -> None:
    service = "http://127.0.0.1:9/v1"
    (only,) = check_damage(service, str(tiny_model_folder), tolerance=Tolerance(), seed=0, num_threads=1)
    assert (only.outcome, only.figures) == ("skipped", {})


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--tolerance", "0.1"), "--against"), (("--tolerance", "0", "--against", "starter"), "a finite value above 0")],
)
def test_a_tolerance_that_means_nothing_is_one_clear_error(
    call: Any, tiny_model_folder: Path, words: tuple[str, ...], told: str
) -> None:
    result = call("eval", "test", str(tiny_model_folder), *words)
    assert result.exit_code == 2
    assert told in result.stderr
