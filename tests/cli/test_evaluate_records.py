"""What was found before, at the command line: history, board, exports and the page of a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tests.evaluate.benchmarks.texts import write_all_items
from tests.evaluate.history.recorded import keep, rights

from birdbone.core import Workspace
from birdbone.evaluate.history import open_history
from birdbone.vault import commit, open_vault, put_folder, resolve

FEW = ("--only", "hellaswag", "--dtype", "float32", "--threads", "1", "--json")


@pytest.fixture
def items(folder: Path) -> str:
    write_all_items(folder / "items")
    return str(folder / "items")


def data_of(result: Any) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def keep_series(workspace: Workspace, numbers: list[int]) -> None:
    history = open_history(workspace.folder)
    for day, number in enumerate(numbers):
        keep(history, rights(number, 200, artefact=f"b3:{day:064x}"), day=day)


def test_what_was_asked_is_shown_with_day_and_code(
    call: Any, workspace: Workspace, items: str, tiny_model_folder: Path
) -> None:
    words = ("eval", "run", str(tiny_model_folder), "--items", items, *FEW)
    (asked,) = data_of(call(*words))
    data_of(call(*words))  # the answer of the cache is no new judgement
    (record,) = data_of(call("eval", "history", "--json"))["records"]
    assert record["subject"]["model"] == tiny_model_folder.name
    assert record["measurements"][0]["value"] == asked["value"]
    assert record["environment"]["dtype"] == "float32"
    assert record["environment"]["threads"] == 1
    told = call("eval", "history", tiny_model_folder.name)
    assert told.exit_code == 0
    assert "hellaswag" in told.stdout
    assert "too few versions" in told.stdout


def test_a_version_of_the_vault_is_judged_under_its_name_and_with_the_day_of_then(
    call: Any, workspace: Workspace, items: str, tiny_model_folder: Path
) -> None:
    vault = open_vault(workspace.vault_folder)
    artefact = put_folder(vault, tiny_model_folder, kind="model")
    commit(vault, artefact, message="first", author="a", ref="refs/heads/main")
    data_of(call("eval", "run", str(tiny_model_folder), "--items", items, *FEW))
    data_of(call("eval", "run", "main", "--items", items, *FEW))
    new, old = data_of(call("eval", "history", "--json"))["records"]
    named = {record["subject"]["model"]: record for record in (old, new)}
    assert named["main"]["subject"]["version"] == resolve(vault, "main")
    assert named["main"]["subject"]["ref"] == "refs/heads/main"
    assert old["taken_at"] == new["taken_at"]
    (found,) = data_of(call("eval", "history", "main", "--json"))["records"]
    assert found == named["main"]


def test_a_fall_over_versions_is_called_a_regression(call: Any, workspace: Workspace) -> None:
    keep_series(workspace, [150, 152, 149, 151, 110, 112, 108, 111])
    (trend,) = data_of(call("eval", "history", "tiny", "--figure", "piqa", "--json"))["trends"]
    (change,) = trend["changes"]
    assert (change["verdict"], change["place"], change["artefact"]) == ("regression", 4, f"b3:{4:064x}")
    told = call("eval", "history", "tiny", "--limit", "3")
    assert "regression at tiny" in told.stdout
    assert "▇" in told.stdout or "█" in told.stdout
    assert "5 older figures are not shown" in told.stderr


def test_figures_of_versions_make_a_trend_without_any_record(call: Any, workspace: Workspace, tmp_path: Path) -> None:
    vault = open_vault(workspace.vault_folder)
    for number in range(3):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "weights").write_text(str(number))
        artefact = put_folder(vault, tmp_path / "model", kind="model")
        figure = {"name": "perplexity", "value": 20.0 + number, "unit": "1", "method": "windows", "artefact": artefact}
        commit(vault, artefact, message=f"wave {number}", author="a", ref="refs/heads/main", measurements=[figure])
    (trend,) = data_of(call("eval", "history", "main", "--json"))["trends"]
    assert [point["value"] for point in trend["points"]] == [20.0, 21.0, 22.0]
    assert "too few versions" in trend["finding"]


def test_the_board_is_printed_and_drawn(call: Any, workspace: Workspace, folder: Path) -> None:
    keep_series(workspace, [150, 40])
    told = call("eval", "board")
    assert "1. 75.0 %" in told.stdout
    assert "at chance" in told.stdout
    assert [row["scores"][0]["rank"] for row in data_of(call("eval", "board", "--json"))["models"]] == [1, 2]
    assert call("eval", "board", "-o", "board.html").exit_code == 0
    assert (folder / "board.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("form", "told"), [("lm-eval", '"acc,none": 0.75'), ("csv", "benchmark.piqa,0.75"), ("markdown", "75.0 %")]
)
def test_a_model_is_exported(call: Any, workspace: Workspace, folder: Path, form: str, told: str) -> None:
    keep_series(workspace, [40, 150])
    assert call("eval", "export", "tiny", "--format", form, "-o", "out").exit_code == 0
    text = (folder / "out").read_text()
    assert told in text
    assert f"{0:064x}" not in text  # the model that had this name before
    assert call("eval", "export", "tiny", "--format", form).stdout.strip() == text.strip()


def test_a_record_is_exported_as_a_card(call: Any, workspace: Workspace) -> None:
    keep_series(workspace, [40, 150])
    first = open_history(workspace.folder).records()[0]
    card = ModelCard(call("eval", "export", first.id[3:15], "--format", "card").stdout)
    (result,) = card.data.eval_results
    assert result.metric_value == 0.2


def test_a_comparison_is_drawn(
    call: Any, workspace: Workspace, items: str, folder: Path, tiny_model_folder: Path
) -> None:
    model = str(tiny_model_folder)
    (found,) = data_of(call("eval", "compare", model, model, "--items", items, *FEW, "--page", "page.html"))
    assert found["benchmarks"][0]["difference"]["value"] == 0
    page = (folder / "page.html").read_text()
    assert "hellaswag" in page
    assert "range unsure" in page


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("history", "nobody"), 3, "Nothing was measured of nobody. There are records of tiny."),
        (("history", "tiny", "--better", "faster"), 2, "--better takes higher, lower"),
        (("export", "nobody", "--format", "csv"), 3, "Nothing was measured of nobody"),
        (("export", "tiny", "--format", "xml"), 2, "--format takes lm-eval, csv, markdown, card"),
    ],
)
def test_what_is_not_there_is_one_clear_error(
    call: Any, workspace: Workspace, words: tuple[str, ...], code: int, told: str
) -> None:
    keep_series(workspace, [150])
    result = call("eval", *words)
    assert result.exit_code == code
    assert told in result.stderr
    assert "Traceback" not in result.stderr
