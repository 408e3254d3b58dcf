"""Fewer bits at the command line: the target holds, the file is what was judged, and bad wishes are refused at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from birdbone.core import digest_file
from birdbone.models.gguf import read_gguf_summary

SMALL = ("--windows", "4", "--window", "64", "--judged", "8", "--threads", "1")


def test_a_model_gets_the_bits_asked_for_a_file_and_a_page(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    out, page = folder / "light.gguf", folder / "light.html"
    result = call(
        "compress", "quantize", str(tiny_model_folder), *SMALL, "--bits", "5", "--choice", "coverage",
        "--out", str(out), "--report", str(page), "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    figures = {row["name"]: row for row in told["measurements"]}
    assert figures["bits_per_weight"]["value"] <= 5
    assert figures["file_bytes"]["value"] == out.stat().st_size
    assert {row["artefact"] for row in told["measurements"]} == {digest_file(out)}
    assert 0.9 < figures["perplexity_ratio"]["low"] < figures["perplexity_ratio"]["value"] < 1.2
    assert 0 < figures["kl_to_reference"]["value"] < 0.2
    assert figures["estimated_damage"]["basis"] == "estimated"
    assert told["not_measured"] == {}
    linears = told["linears"]
    assert sum(row["size_bytes"] for row in linears) == figures["linear_bytes"]["value"]
    stored = {tensor.name: tensor.type.lower() for tensor in read_gguf_summary(out).tensors}
    assert stored["blk.0.attn_q.weight"] == next(
        row["type"] for row in linears if row["path"].endswith("0.self_attn.q_proj")
    )
    text = page.read_text(encoding="utf-8")
    assert "<title>tiny-llama: fewer bits</title>" in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_an_adapter_beside_the_file_takes_back_a_part_of_what_rounding_did(
    call: Any, folder: Path, tiny_model_folder: Path
) -> None:
    out, adapter = folder / "light.gguf", folder / "light-lora.gguf"
    words = ("--type", "q4_0", "--rounding", "nearest", "--adapter", str(adapter), "--adapter-rank", "16")
    result = call("compress", "quantize", str(tiny_model_folder), *SMALL, *words, "--out", str(out), "--json")
    assert result.exit_code == 0, result.stderr
    figures = {row["name"]: row for row in json.loads(result.stdout)["measurements"]}
    assert figures["adapter_bytes"]["value"] == adapter.stat().st_size
    assert figures["adapter_ratio"]["artefact"] == digest_file(adapter)
    assert figures["adapter_ratio"]["value"] < 1
    assert figures["adapter_perplexity"]["value"] < figures["perplexity"]["value"]
    lonely = call("compress", "quantize", str(tiny_model_folder), *SMALL, *words)
    assert lonely.exit_code == 2
    assert "give --out too" in lonely.stderr


def test_without_a_file_its_size_is_not_measured_and_nothing_is_written(
    call: Any, folder: Path, tiny_model_folder: Path
) -> None:
    words = ("--type", "q8_0", "--rounding", "nearest", "--judged", "2")
    result = call("compress", "quantize", str(tiny_model_folder), *SMALL, *words)
    assert result.exit_code == 0, result.stderr
    assert "not measured: no file was written (--out)" in result.stdout
    assert "not measured: 2 windows give no interval; 8 do" in result.stdout
    assert "q8_0" in result.stdout
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--type", "q3_x"), "format.linears"),
        (("--types", "q4_0"), "give --bits too"),
        (("--bits", "4.6", "--types", "q4_0,q9"), "allocation.types.1"),
        (("--rounding", "up"), "rounding.kind"),
        (("--choice", "best"), "kind"),
        (("--bits", "0"), "greater than 0"),
    ],
)
def test_what_there_is_not_is_refused_before_anything_is_loaded(
    call: Any, folder: Path, words: tuple[str, ...], told: str
) -> None:
    result = call("compress", "quantize", "no-such-model", *words)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_target_that_no_type_can_keep_is_an_error(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    out = folder / "light.gguf"
    result = call("compress", "quantize", str(tiny_model_folder), *SMALL, "--bits", "3", "--out", str(out))
    assert result.exit_code == 2
    assert "The smallest types take" in result.stderr
    assert not out.exists()
