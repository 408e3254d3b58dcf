"""Healing at the command line: no zero comes back, and what is told was measured on the folder as written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from birdbone.models import load_model, save_model

SMALL = ("--windows", "18", "--window", "64", "--judged", "8", "--batch", "4", "--steps", "16", "--threads", "1")


@pytest.fixture(scope="module")
def pruned_folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model without the smaller half of each linear's weights."""
    loaded = load_model(str(tiny_model_folder))
    with torch.no_grad():
        for path in loaded.architecture.linear_paths:
            weight_FD = loaded.model.get_parameter(f"{path}.weight")
            weight_FD.mul_(weight_FD.abs() > weight_FD.abs().median())
    return save_model(loaded.model, loaded.tokenizer, tmp_path_factory.mktemp("heal") / "pruned")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("blockwise", ("--steps", "64", "--rate", "1e-3", "--intensity", "severity")),
        ("distill", ("--rate", "1e-3", "--distill-share", "1")),
        ("lora", ("--rate", "5e-3", "--rank", "4", "--norms", "--distill-share", "1")),
        (
            "qlora",
            (
                "--rate",
                "5e-3",
                "--rank",
                "4",
                "--base",
                "q4_0",
                "--role",
                "up",
                "--role",
                "down",
                "--distill-share",
                "1",
            ),
        ),
    ],
)
def test_each_method_heals_and_is_judged_as_written(
    call: Any, folder: Path, tiny_model_folder: Path, pruned_folder: Path, method: str, words: tuple[str, ...]
) -> None:
    out = folder / "healed"
    result = call(
        "compress", "heal", str(pruned_folder), "--dense", str(tiny_model_folder), "--method", method,
        *SMALL, *words, "--out", str(out), "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    figures = {row["name"]: row for row in told["measurements"]}
    assert figures["healed_over_pruned"]["value"] < 1
    assert figures["healed_perplexity"]["value"] < figures["pruned_perplexity"]["value"]
    assert 0 < figures["healed_kl"]["value"] < figures["pruned_kl"]["value"]
    assert figures["healed_kl"]["artefact"] == figures["healed_perplexity"]["artefact"]
    assert told["settings"]["kind"] == told["healing"]["kind"] == method
    assert 0 < told["won_back"]["value"] < 1.5
    assert told["num_zeros"] > 80_000
    assert told["num_revived"] == 0
    assert told["written"] == [str(out)]
    before, after = (load_file(path / "model.safetensors") for path in (pruned_folder, out))
    linears = [name for name in before if "_proj" in name]
    assert all(bool((after[name][before[name] == 0] == 0).all()) for name in linears)
    assert any(not torch.equal(before[name], after[name]) for name in linears)


def test_a_person_is_told_the_share_won_back_and_may_keep_the_updates(
    call: Any, folder: Path, tiny_model_folder: Path, pruned_folder: Path
) -> None:
    adapter = folder / "adapter.safetensors"
    result = call(
        "compress", "heal", str(pruned_folder), "--dense", str(tiny_model_folder), "--method", "lora", *SMALL,
        "--rate", "5e-3", "--cpu-minutes", "10", "--adapter", str(adapter), "--out", str(folder / "healed"),
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "of the lost log-perplexity won back." in result.stdout
    assert "0 of 86,0" in result.stdout
    assert any(name.endswith("q_proj.lora_a") for name in load_file(adapter))
    assert f"written: {adapter}" in result.stderr


def test_what_does_not_help_is_not_kept_and_said(
    call: Any, folder: Path, tiny_model_folder: Path, pruned_folder: Path
) -> None:
    adapter = folder / "adapter.safetensors"
    result = call(
        "compress", "heal", str(pruned_folder), "--dense", str(tiny_model_folder), "--method", "lora", *SMALL,
        "--rate", "0.1", "--alpha", "400", "--adapter", str(adapter), "--out", str(folder / "healed"),
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "the model is as it was" in result.stdout
    assert not adapter.exists()
    before, after = (load_file(path / "model.safetensors") for path in (pruned_folder, folder / "healed"))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "prayer"), "--method takes blockwise, distill, lora, qlora"),
        (("--method", "distill", "--rank", "4"), "distill: rank: is no setting of this method"),
        (("--method", "lora", "--role", "nose"), "lora: roles.0"),
        (("--method", "qlora", "--base", "q9"), "qlora: base"),
        (("--rate", "7"), "learning_rate: Input should be less than or equal to 0.1"),
        (("--adapter", "a.safetensors"), "--adapter is for lora and qlora"),
    ],
)
def test_what_there_is_not_is_refused_before_anything_is_loaded(
    call: Any, folder: Path, words: tuple[str, ...], told: str
) -> None:
    result = call("compress", "heal", "no-such-model", "--dense", "neither", "--out", "healed", *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert list(folder.iterdir()) == []


def test_a_model_without_zeros_and_a_rank_too_large_are_one_clear_error(
    call: Any, folder: Path, tiny_model_folder: Path, pruned_folder: Path
) -> None:
    dense = ("--dense", str(tiny_model_folder), *SMALL, "--out", str(folder / "healed"))
    result = call("compress", "heal", str(tiny_model_folder), *dense)
    assert result.exit_code == 2
    assert "compress.no_zeros" in result.stderr
    assert "compress shed MODEL --pattern unstructured" in result.stderr
    result = call("compress", "heal", str(pruned_folder), *dense, "--method", "lora", "--rank", "40")
    assert result.exit_code == 2
    assert "takes ranks from 1 to 32; 40 came" in result.stderr
    assert list(folder.iterdir()) == []
