"""Measuring cost at the command line: once on the tiny model, the rest on made-up reports."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.cost.in_process import Workshop
from tests.evaluate.cost.made_up import report

from birdbone.cli.evaluate import costing
from birdbone.cli.output import print_table
from birdbone.evaluate.cost import CostReport
from birdbone.evaluate.cost.comparison import compare_costs
from birdbone.evaluate.cost.measuring import measure_costs


def test_a_model_is_measured_and_its_page_written(
    call: Any, folder: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process = partial(measure_costs, open_worker=Workshop([]).open)  # a process of its own takes ten seconds
    monkeypatch.setattr(costing, "measure_costs", in_process)
    words = ("--prompt-tokens", "4,12", "--new-tokens", "3", "--repeats", "1", "--threads", "1", "--dtype", "float32")
    result = call("eval", "cost", str(tiny_model_folder), *words, "--out", str(folder / "cost"), "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told == json.loads((folder / "cost" / "cost.json").read_text())
    assert "<title>tiny-llama: cost</title>" in (folder / "cost" / "cost.html").read_text(encoding="utf-8")
    found = CostReport.model_validate_json(json.dumps(told["reports"][0]))
    names = {row.name for row in found.measurements}
    assert {"time_to_first_token.4", "prefill_rate.12", "decode_rate", "load_time", "model_memory", "size"} <= names
    assert set(found.profiles) == {"decode", "prefill"}
    assert (len(found.loads), len(found.decodes), found.plan.prompt_tokens) == (1, 1, (4, 12))
    flops = found.figure("flops_per_token")
    assert flops is not None
    assert "equal to torch's FlopCounterMode" in flops.method
    assert all(row.artefact == found.artefact for row in found.measurements)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--prompt-tokens", "many"), "--prompt-tokens takes whole numbers"),
        (("--prompt-tokens", "8,8"), "Each length of a prompt is named once"),
        (("--prompt-tokens", "300"), "takes 256 tokens; the plan needs 332"),
        (("--engine", "llama.cpp"), "llama.cpp runs a .gguf file"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_loaded(
    call: Any, folder: Path, tiny_model_folder: Path, words: tuple[str, ...], told: str
) -> None:
    result = call("eval", "cost", str(tiny_model_folder), "--dtype", "float32", "--threads", "1", *words)
    assert result.exit_code == 2
    assert told in result.stderr


def test_tables_say_every_figure_and_what_is_absent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    first, second = report("a"), report("b", slowness=2.0)
    found = costing.Costs(reports=(first, second), comparisons=(compare_costs(second, first),))
    for table in costing.tables(found):
        print_table(table)
    told = capsys.readouterr().out
    assert "a: torch in float32 on the CPU, 2 threads" in told
    assert "not measured: the machine does not tell" in told
    assert "aten::<mm>" in told
    assert "b over a, in turns" in told
    assert "× 0.500 [0.500, 0.500]" in told
    assert "b: what holds it back" in told
    assert "arithmetic" in told


def test_a_plan_loads_no_more_often_than_it_repeats() -> None:
    assert costing.plan_of("8", new_tokens=4, repeats=1).num_loads == 1
    assert costing.plan_of("8, 16", new_tokens=4, repeats=9).num_loads == 3
