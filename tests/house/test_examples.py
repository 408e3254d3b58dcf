"""Every example runs, and shows what its docstring says it shows."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    runpy.run_path(str(EXAMPLES / name))["main"](arguments)
    return capsys.readouterr().out


def test_every_example_is_listed_and_run_here() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    listed = set(re.findall(r"\]\((\w+\.py)\)", (EXAMPLES / "README.md").read_text()))
    tested = set(re.findall(r'run\("(\w+\.py)"', Path(__file__).read_text()))
    assert names == listed == tested


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_load_beats_size_and_refit_beats_both(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [float(value) for value in re.findall(r"\d\.\d{3}", run("prune_one_matrix.py", [seed], capsys))]
    assert len(errors) == 3
    assert errors == sorted(errors, reverse=True)


def test_a_model_is_described(tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("describe_a_model.py", [str(tiny_model_folder)], capsys)
    assert "llama: 4 layers, hidden size 64" in printed
    assert "one statistic serves q_proj, k_proj, v_proj" in printed


def test_a_model_is_rounded_and_both_files_are_judged(
    tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run("round_and_judge.py", [str(tiny_model_folder), "8"], capsys)
    ratio = float(re.findall(r"perplexity  (\S+) of", printed)[0])
    assert 0.9 < ratio < 1.5
