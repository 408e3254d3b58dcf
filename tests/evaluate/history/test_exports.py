"""What is exported is read by the tools that it is for, and holds only what was measured."""

from __future__ import annotations

import csv
import io
import json

import lm_eval
import pytest
from huggingface_hub import ModelCard
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import make_table
from tests.evaluate.benchmarks.texts import character_tokenizer, write_all_items
from tests.evaluate.tiny import tiny_model

from birdbone.core import Measurement
from birdbone.evaluate.benchmarks import Question
from birdbone.evaluate.benchmarks.harness import _specification, _task_manager, ask
from birdbone.evaluate.benchmarks.local_items import read_items
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.errors import UnknownRecordError
from birdbone.evaluate.history import Subject, open_history
from birdbone.evaluate.history.exports.card import model_card
from birdbone.evaluate.history.exports.lm_eval import lm_eval_results
from birdbone.evaluate.history.exports.tables import csv_text, markdown_table
from birdbone.evaluate.history.keeping import keep_measurements

from .recorded import digest, environment_of, keep, result_of, rights


@pytest.fixture
def history(tmp_path):
    return open_history(tmp_path / "history")


@pytest.fixture
def records(history):
    keep(history, rights(70, 100, harness="lm-eval 0.4.13: piqa 1.0"))
    keep(history, rights(27, 100, name="arc_challenge", chance=0.25, metric="acc_norm", limit=100), day=1)
    return history.records()


def own_results(folder, judge, question, items):
    """Return what lm-eval's own runner gives, and our scores, of the same items."""
    own = HFLM(pretrained=judge.model, tokenizer=judge.tokenizer, max_length=judge.max_tokens)
    tasks = [_specification("hellaswag", question, items)]
    theirs = lm_eval.simple_evaluate(
        model=own, tasks=tasks, num_fewshot=0, task_manager=_task_manager(), log_samples=False, verbosity="ERROR"
    )
    scores, versions, _ = ask(judge, question, items)
    return theirs, scores, versions


def shape_of(value, depth=3):
    """Return keys and types, down to some depth."""
    if isinstance(value, dict) and depth:
        return {key: shape_of(inner, depth - 1) for key, inner in value.items()}
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def test_lm_evals_results_have_its_keys_and_figures(history, tmp_path):
    write_all_items(tmp_path / "items")
    items = read_items(tmp_path / "items", "hellaswag")
    judge = TorchJudge(tiny_model(), character_tokenizer())
    question = Question(benchmark="hellaswag", num_fewshot=0, limit=None)
    theirs, scores, versions = own_results(tmp_path, judge, question, items)
    keep(
        history,
        result_of(
            [item.score for item in scores],
            name="hellaswag",
            metric="acc_norm",
            harness=f"lm-eval {lm_eval.__version__}: hellaswag {versions['hellaswag']}",
        ),
    )
    ours = lm_eval_results(history.records())
    assert json.loads(json.dumps(ours)) == ours
    own_keys = {"birdbone", "model_name", "model_name_sanitized", "model_source"}  # the last three: its file has them
    assert set(ours) - own_keys <= set(theirs)
    for part in ("results", "versions", "n-shot", "higher_is_better", "n-samples", "group_subtasks"):
        assert ours[part].keys() <= theirs[part].keys(), part
    mine, own = ours["results"]["hellaswag"], theirs["results"]["hellaswag"]
    assert mine.keys() <= own.keys()
    assert shape_of(mine) == {key: kind for key, kind in shape_of(own).items() if key in mine}
    for key in ("acc_norm,none", "acc_norm_stderr,none", "sample_len", "alias"):
        assert mine[key] == (pytest.approx(own[key], abs=1e-12) if isinstance(own[key], float) else own[key]), key
    assert ours["n-samples"]["hellaswag"] == dict(theirs["n-samples"]["hellaswag"])
    assert ours["versions"].items() <= theirs["versions"].items()
    assert ours["n-shot"].items() <= theirs["n-shot"].items()
    assert ours["higher_is_better"]["hellaswag"]["acc_norm"] is True


def test_lm_evals_own_table_reads_the_export(records):
    table = make_table(json.loads(json.dumps(lm_eval_results(records))))
    assert "|piqa" in table
    assert "0.70|±  |0.0461" in table
    assert "acc_norm" in table


def test_what_is_not_known_is_absent_from_lm_evals_results(history):
    keep(
        history,
        rights(1, 1, name="mmlu", limit=4, harness="lm-eval 0.4.13: mmlu_anatomy 1.0, mmlu_law 1.0 and 55 more"),
    )
    found = lm_eval_results(history.records())
    assert "acc_stderr,none" not in found["results"]["mmlu"]
    assert found["versions"] == {}
    assert found["n-samples"]["mmlu"] == {"effective": 1}
    assert "git_hash" not in found
    assert "N/A" not in json.dumps(found)
    with pytest.raises(UnknownRecordError):
        lm_eval_results([])


def test_csv_has_a_line_a_figure_and_empty_cells_for_what_is_not_known(history, records):
    size = Measurement(name="size", value=1000, unit="byte", method="as stored, whole", artefact=digest("a"))
    subject = Subject(model="=cmd()", artefact=digest("a"))
    other = keep_measurements(history, [size], subject=subject, environment=environment_of(threads=None))
    rows = list(csv.DictReader(io.StringIO(csv_text([*records, other]))))
    assert [row["figure"] for row in rows] == ["benchmark.piqa", "benchmark.arc_challenge", "size"]
    assert (float(rows[0]["value"]), rows[0]["sample_size"], rows[0]["standing"]) == (0.7, "100", "above a guess")
    assert rows[1]["standing"] == "at chance"
    assert (rows[2]["low"], rows[2]["chance"], rows[2]["threads"], rows[2]["commit"]) == ("", "", "", "")
    assert rows[2]["model"] == "'=cmd()"
    assert rows[2]["method"] == "as stored, whole"
    assert csv_text([]) == ""


def test_a_markdown_table_holds_its_cells_together(history):
    record = keep(history, rights(60, 100), model="a|b\n*c*")
    text = markdown_table([record])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {11}
    assert r"a\|b \*c\*" in lines[2]
    assert "60.0 %" in lines[2]
    assert digest("a") in text


def test_a_card_is_read_by_the_hubs_own_reader(records):
    card = ModelCard(model_card(records))
    assert card.data.model_name == "tiny"
    results = {result.dataset_name: result for result in card.data.eval_results}
    assert results.keys() == {"piqa", "arc_challenge"}
    piqa, arc = results["piqa"], results["arc_challenge"]
    assert (piqa.metric_type, piqa.metric_value, piqa.dataset_type) == ("acc", 0.7, "baber/piqa")
    assert piqa.metric_args["low_95"] < 0.7 < piqa.metric_args["high_95"]
    assert piqa.metric_args["num_items"] == 100
    assert (arc.metric_args["standing"], arc.metric_name) == ("at chance", "arc_challenge acc_norm (at chance)")
    assert arc.metric_args["artefact"] == digest("a")
    for told in ("lm-eval 0.4.13", "torch 2.13.0", "a CPU", "at chance", digest("a")):
        assert told in card.text.replace("\\", ""), told


def test_a_card_has_no_figure_that_was_not_measured(history):
    size = Measurement(name="size", value=1000, unit="byte", method="as stored", artefact=digest("a"))
    subject = Subject(model="tiny", artefact=digest("a"))
    record = keep_measurements(history, [size], subject=subject, environment=environment_of())
    text = model_card([record])
    assert "model-index" not in text
    assert "1000 byte" in text
    assert "chance" not in text
    with pytest.raises(UnknownRecordError):
        model_card([])
