"""lm-eval asked through a judge gives what its own runner gives, and nothing is asked twice."""

from collections import Counter

import pytest
from lm_eval.models.huggingface import HFLM
from pydantic import ValidationError
from tests.evaluate.benchmarks.texts import character_tokenizer, write_all_items, write_lines
from tests.evaluate.tiny import tiny_model

from birdbone.evaluate.benchmarks import BENCHMARKS, Question, harness
from birdbone.evaluate.benchmarks.harness import ask, ask_model
from birdbone.evaluate.benchmarks.local_items import read_items
from birdbone.evaluate.benchmarks.running import harness_tasks
from birdbone.evaluate.benchmarks.tasks import run_tasks
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("items")
    write_all_items(folder)
    return folder


@pytest.fixture(scope="module")
def judge():
    return TorchJudge(tiny_model(), character_tokenizer())


def question(name, limit=None):
    return Question(benchmark=name, num_fewshot=0, limit=limit)


@pytest.mark.parametrize("name", ["arc_easy", "piqa", "hellaswag", "winogrande", "lambada", "blimp", "truthfulqa_mc2"])
def test_answers_are_those_of_lm_evals_own_runner(judge, folder, name):
    items = read_items(folder, name)
    own = HFLM(pretrained=judge.model, tokenizer=judge.tokenizer, max_length=judge.max_tokens)
    found, versions, _ = ask(judge, question(name), items)
    expected, _ = ask_model(own, question(name), items)
    assert [(item.id, item.answer) for item in found] == [(item.id, item.answer) for item in expected]
    assert [item.score for item in found] == pytest.approx([item.score for item in expected], abs=1e-5)
    assert versions.keys() == set(BENCHMARKS[name].tasks)


def test_a_guess_is_worth_one_choice_or_the_share_of_what_is_true(judge, folder):
    for name, chance in (("arc_easy", 1 / 3), ("piqa", 1 / 2), ("truthfulqa_mc2", 2 / 4), ("lambada", 0)):
        scores, _, _ = ask(judge, question(name), read_items(folder, name))
        assert {item.chance for item in scores} == {chance}


def test_what_does_not_fit_loses_its_beginning_and_is_counted(judge, tmp_path):
    long = {"query": f"Question: {'flap ' * 20}\n", "choices": ["up", "down"], "gold": 0}
    write_lines(tmp_path / "llmfoundry" / "piqa.jsonl", [long])
    scores, _, num_shortened = ask(judge, question("piqa"), read_items(tmp_path, "piqa"))
    assert (len(scores), num_shortened) == (1, 2)


def results_of(judge, folder, cache, opened, names=("piqa", "blimp")):
    def open_judge():
        opened["times"] += 1
        return judge

    return list(
        run_tasks(
            open_judge,
            harness_tasks([question(name) for name in names], folder),
            artefact="b3:" + "a" * 64,
            engine=dict(judge.settings),
            cache=cache,
        )
    )


def test_what_was_asked_before_is_read_and_the_model_is_not_even_opened(judge, folder, tmp_path):
    opened: Counter[str] = Counter()
    first = results_of(judge, folder, tmp_path, opened)
    assert (opened["times"], len(list(tmp_path.glob("*.json")))) == (1, 2)
    assert results_of(judge, folder, tmp_path, opened) == first
    assert opened["times"] == 1
    next(iter(sorted(tmp_path.glob("*.json")))).write_text("{")  # a damaged result is asked for again
    assert results_of(judge, folder, tmp_path, opened) == first
    assert opened["times"] == 2


def test_other_items_are_another_question(judge, folder, tmp_path):
    write_all_items(tmp_path / "items")
    opened: Counter[str] = Counter()
    before = results_of(judge, tmp_path / "items", tmp_path / "cache", opened, names=("piqa",))
    row = {"query": "Question: swim\n", "choices": ["flap", "sink"], "gold": 1}
    write_lines(tmp_path / "items" / "llmfoundry" / "piqa.jsonl", [row])
    after = results_of(judge, tmp_path / "items", tmp_path / "cache", opened, names=("piqa",))
    assert before[0].items_source != after[0].items_source
    assert before[0].items[0].id != after[0].items[0].id
    assert opened["times"] == 2


def test_a_mass_that_rounding_lifts_above_one_is_one():
    sample = {
        "doc_id": 0, "filter": "none", "acc": 1.0000000000000002, "doc_hash": "a",
        "doc": {"mc2_targets": {"labels": [1, 0]}}, "filtered_resps": [(-1.0, False), (-2.0, False)],
    }  # fmt: skip
    (score,) = harness._scores(BENCHMARKS["truthfulqa_mc2"], [sample])
    assert score.score == 1
    with pytest.raises(ValidationError):
        list(harness._scores(BENCHMARKS["truthfulqa_mc2"], [sample | {"acc": 1.01}]))
