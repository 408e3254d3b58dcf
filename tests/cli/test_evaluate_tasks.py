"""Tasks of one's own at the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.benchmarks.texts import write_all_items

from birdbone.core import Workspace

FAST = ("--dtype", "float32", "--threads", "1")


def write_task(folder: Path, name: str = "birds", **more: Any) -> str:
    rows = [{"prompt": f"Is {at} a bird?", "choices": ["yes", "no, it is not"], "answer": "B"} for at in range(9)]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {"name": name, "items": f"{name}.jsonl", "prompt": "{prompt}", "scoring": {"kind": "multiple_choice"}}
    (folder / f"{name}.yaml").write_text(json.dumps(told | more))
    return f"{name}.yaml"


def data_of(result: Any) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_task_is_asked_alone_beside_a_suite_and_of_two_models(
    call: Any, workspace: Workspace, folder: Path, tiny_model_folder: Path
) -> None:
    write_all_items(folder / "items")
    task, model = write_task(folder), str(tiny_model_folder)
    (alone,) = data_of(call("eval", "run", model, "--task", task, *FAST, "--json"))
    assert (alone["benchmark"], alone["num_items"], alone["chance"]) == ("birds", 9, 0.5)
    kept = list((workspace.folder / "evaluations").glob("*.json"))
    assert len(kept) == 1
    beside = ("--only", "piqa", "--items", str(folder / "items"), "--task", "birds.jsonl")
    rows = data_of(call("eval", "run", model, *beside, *FAST, "--json"))
    assert [row["benchmark"] for row in rows] == ["piqa", "birds"]
    assert rows[1]["items_source"] == alone["items_source"], "the columns say what the file of settings says"
    (found,) = data_of(call("eval", "compare", model, model, "--task", task, *FAST, "--json"))
    assert [(row["benchmark"], row["difference"]["value"]) for row in found["benchmarks"]] == [("birds", 0)]
    assert found["judged"] == []


def test_a_table_says_that_a_model_judged(
    call: Any, workspace: Workspace, folder: Path, tiny_model_folder: Path
) -> None:
    model = str(tiny_model_folder)
    task = write_task(folder, scoring={"kind": "judged", "judge": model, "max_new_tokens": 4})
    told = call("eval", "run", model, "--task", task, *FAST)
    assert told.exit_code == 0, told.stderr
    assert f"birds was judged by a model, {tiny_model_folder.name} (b3:" in told.stdout
    assert told.stdout.rstrip().endswith("itself")
    assert "a guess " in told.stdout
    assert "above a guess" not in told.stdout
    (row,) = data_of(call("eval", "run", model, "--task", task, *FAST, "--json"))
    assert (row["standing"], row["is_above_chance"]) == ("a model's opinion", None)
    assert "was judged by a model" in call("eval", "compare", model, model, "--task", task, *FAST).stdout


def test_a_task_is_shown_before_it_is_asked(call: Any, folder: Path) -> None:
    task = write_task(folder, prompt="Q: {prompt}\nA:", fewshot={"count": 1})
    found = data_of(call("eval", "check-task", task, "--show", "1", "--json"))
    assert (found["num_items"], found["chance"], found["right_in_place"]) == (9, 0.5, {"1": 9})
    assert [prompt["prompt"] for prompt in found["prompts"]] == [
        "Q: Is 1 a bird?\nA: no, it is not\n\nQ: Is 0 a bird?\nA:"
    ]
    shown = call("eval", "check-task", task).stdout
    assert "--- birds.jsonl, row 2\nQ: Is 0 a bird?\nA: no, it is not\n\nQ: Is 1 a bird?\nA:\n" in shown
    assert ">>> no, it is not" in shown
    talk = write_task(folder, name="talk", chat=True, system="Be short.")
    assert "[system] Be short.\n[user] Is 0 a bird?\n" in call("eval", "check-task", talk).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "MODEL", "--task", "missing.yaml"), "missing.yaml cannot be read"),
        (("run", "MODEL", "--task", "birds.yaml", "--task", "birds.jsonl"), "tasks of one name"),
        (("run", "MODEL", "--task", "judged.yaml"), "There is no model"),
        (("check-task", "bad.csv"), "bad.csv, row 3 has 1 cells"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(
    call: Any, workspace: Workspace, folder: Path, tiny_model_folder: Path, words: tuple[str, ...], told: str
) -> None:
    write_task(folder)
    write_task(folder, name="judged", scoring={"kind": "judged", "judge": "no/such/model/here"})
    (folder / "bad.csv").write_text("prompt,answer\na,b\nc\n")
    result = call("eval", *(str(tiny_model_folder) if word == "MODEL" else word for word in words))
    assert result.exit_code in (2, 3)
    assert told in result.stderr
    assert "Traceback" not in result.stderr
