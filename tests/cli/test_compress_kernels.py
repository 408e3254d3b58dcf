"""Timing a model's own shapes at the command line: no kernel slower than dense, each refusal with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_each_shape_is_timed_once_and_known_again(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    cache = folder / "kernels.json"
    words = ("compress", "kernels", str(tiny_model_folder), "--tokens", "1,4", "--repeats", "2", "--threads", "1")
    first = call(*words, "--cache", str(cache), "--json")
    assert first.exit_code == 0, first.stderr
    told = json.loads(first.stdout)
    shapes = {tuple(row["shape"]): row["num_linears"] for row in told}
    assert shapes == {(64, 64): 8, (32, 64): 8, (160, 64): 8, (64, 160): 4}
    assert sorted(row["num_tokens"] for row in told) == [1] * 4 + [4] * 4
    assert all(row["speed_up"] >= 1 for row in told)
    again = call(*words, "--cache", str(cache), "--json")
    assert json.loads(again.stdout) == told
    shown = call(*words, "--cache", str(cache))
    assert "refused: the weight has no zeros" in shown.stdout
    assert "chosen" in shown.stdout


@pytest.mark.parametrize("tokens", ["some", "1,0", ""])
def test_tokens_are_whole_numbers_above_zero(tokens: str, call: Any, folder: Path) -> None:
    result = call("compress", "kernels", "no-such-model", "--tokens", tokens)
    assert result.exit_code == 2
    assert "--tokens takes whole numbers" in result.stderr
