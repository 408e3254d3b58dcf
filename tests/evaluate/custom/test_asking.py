"""Tasks of one's own are asked and scored as they say, and their results are those of any benchmark."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from tests.evaluate.benchmarks.texts import character_tokenizer, write_lines
from tests.evaluate.custom.readers import Reader, Talker, task_of
from tests.evaluate.tiny import tiny_model

from birdbone.evaluate.benchmarks import Question
from birdbone.evaluate.benchmarks.comparison import compare
from birdbone.evaluate.benchmarks.harness import ask
from birdbone.evaluate.benchmarks.local_items import read_items
from birdbone.evaluate.benchmarks.standing import measurement_of, standing_of
from birdbone.evaluate.benchmarks.tasks import run_tasks
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.custom import CustomQuestion, CustomTask
from birdbone.evaluate.errors import BadRequestError, NoChatTemplateError, UnpairedError

ARTEFACT = "b3:" + "a" * 64


@pytest.fixture(scope="module")
def judge():
    return TorchJudge(tiny_model(), character_tokenizer())


def result_of(task: CustomTask, judge, **more):
    return CustomQuestion(task=task, **more).ask(judge, artefact=ARTEFACT)


def scores_of(task: CustomTask, judge) -> list[float]:
    return [item.score for item in result_of(task, judge).items]


@pytest.mark.parametrize("normalised", ["raw", "per_byte"])
def test_choices_are_judged_as_lm_eval_judges_them(judge, tmp_path, normalised):
    words = "a bird has light bones and so it may fly up far".split()  # noqa: SIM905
    rows = [
        {"query": f"Question: {words[at % 7]}?", "choices": [words[at % 5], " ".join(words[at % 3 : at % 9 + 3])]}
        | {"gold": at % 2}
        for at in range(12)
        if words[at % 5] != " ".join(words[at % 3 : at % 9 + 3])
    ]
    rows = list({(row["query"], *row["choices"]): row for row in rows}.values())
    write_lines(tmp_path / "llmfoundry" / "arc_easy.jsonl", rows)
    expected, _, _ = ask(
        judge, Question(benchmark="arc_easy", num_fewshot=0, limit=None), read_items(tmp_path, "arc_easy")
    )
    own = [row | {"question": row["query"].removeprefix("Question: ")} for row in rows]
    scoring = {"kind": "multiple_choice", "normalised": normalised, "answer_as": "index"}
    task = task_of(tmp_path, own, scoring, prompt="Question: {question}\nAnswer:", answer="gold")
    found = result_of(task, judge)
    assert found.chance == 0.5
    if normalised == "raw":
        assert [item.answer for item in found.items] == [item.answer for item in expected]
    else:
        assert [item.score for item in found.items] == [item.score for item in expected]
    assert {item.score for item in found.items} == {0.0, 1.0}, "else the test tells nothing"


def test_each_normalisation_by_hand(tmp_path):
    told = {" bb": -4.0, " cccccc": -6.0, " dd": -3.0}
    prior = {" bb": -5.0, " cccccc": -6.5, " dd": -3.5}
    reader = Reader(likes=lambda context, text: (told if context == "What?" else prior)[text])
    rows = [{"question": "What?", "choices": ["bb", "cccccc", "dd"], "answer": "bb"}]
    answers = {}
    for normalised in ("raw", "per_token", "per_byte", "unconditional"):
        scoring = {"kind": "multiple_choice", "normalised": normalised, "unconditional_prompt": "Say:"}
        answers[normalised] = result_of(task_of(tmp_path, rows, scoring), reader).items[0].answer
    # -4, -6, -3; over 3, 7, 3 tokens; over 2, 6, 2 bytes; and 1, 0.5, 0.5 more than without the question.
    assert answers == {"raw": "2", "per_token": "1", "per_byte": "1", "unconditional": "0"}
    assert ("Say:", " bb") in reader.asked


def test_white_space_at_the_end_of_a_prompt_goes_to_the_choice(tmp_path):
    reader = Reader()
    rows = [{"question": "What? ", "choices": ["x", "y"], "answer": "x"}]
    result_of(task_of(tmp_path, rows, {"kind": "multiple_choice"}, delimiter=""), reader)
    assert reader.asked == [("What?", " x"), ("What?", " y")]


@pytest.mark.parametrize(
    ("scoring", "answer", "said", "score"),
    [
        ({"kind": "exact"}, "Paris", " paris.", 1),
        ({"kind": "exact"}, ["Paris", "Lutetia"], "lutetia", 1),
        ({"kind": "exact"}, "Paris", "Paris, France", 0),
        ({"kind": "exact", "ignores": []}, "Paris", "paris", 0),
        ({"kind": "regex", "pattern": r"is (\w+)"}, "paris", "It is Paris.", 1),
        ({"kind": "regex", "pattern": r"is (\w+)"}, "paris", "It was Paris.", 0),
        ({"kind": "regex", "pattern": r"is (\w+)", "take": "last"}, "two", "is one, no, is two", 1),
        ({"kind": "regex", "pattern": r"is (\w+)?"}, "paris", "is ", 0),
        ({"kind": "regex", "pattern": "[Pp]aris", "compares": False}, None, "paris", 1),
        ({"kind": "regex", "pattern": "[Pp]aris", "compares": False}, None, "Lima", 0),
        ({"kind": "numeric"}, 1200, "First 3, then 1,200 eggs.", 1),
        ({"kind": "numeric", "take": "first"}, 1200, "First 3, then 1,200 eggs.", 0),
        ({"kind": "numeric"}, "50%", "one half, 1/2", 1),
        ({"kind": "numeric", "tolerance_relative": 0.01}, 3.14159, "3.14", 1),
        ({"kind": "numeric"}, 7, "seven", 0),
    ],
)
def test_what_is_written_is_scored(tmp_path, scoring, answer, said, score):
    row = {"question": "x"} | ({} if answer is None else {"answer": answer})
    result = result_of(task_of(tmp_path, [row], scoring), Reader(says=lambda _: said))
    assert [(item.score, item.chance) for item in result.items] == [(score, 0)]
    assert result.items[0].answer == said[:64]


def test_a_result_is_that_of_any_benchmark(judge, tmp_path):
    rows = [{"question": f"{at} + {at}", "choices": ["up", "down"], "answer": "up"} for at in range(20)]
    task = task_of(tmp_path, rows, {"kind": "multiple_choice"})
    result = result_of(task, judge)
    assert standing_of(result).chance == 0.5
    assert measurement_of(result).name == "benchmark.own"
    (row,) = compare([result], [result])
    assert (row.difference.value, row.flips.lost) == (0, 0)
    other = task_of(tmp_path, [*rows[:-1], rows[-1] | {"answer": "down"}], {"kind": "multiple_choice"})
    with pytest.raises(UnpairedError):
        compare([result_of(other, judge)], [result])


def run(task, opened, cache, told=lambda _: None, **more):
    def open_judge():
        opened["times"] += 1
        return Reader(says=lambda _: "Paris")

    questions = [CustomQuestion(task=task, **more)]
    engine = {"engine": "reader"}
    return list(run_tasks(open_judge, questions, artefact=ARTEFACT, engine=engine, cache=cache, on_asked=told))


def test_a_task_is_asked_once_until_it_changes(tmp_path):
    opened: Counter[str] = Counter()
    rows = [{"question": "France?", "answer": "Paris"}, {"question": "Peru?", "answer": "Lima"}]
    task = task_of(tmp_path, rows, {"kind": "exact"})
    told = []
    first = run(task, opened, tmp_path / "cache", told.append)
    assert (first[0].accuracy, first[0].benchmark) == (0.5, "own")
    assert run(task, opened, tmp_path / "cache", told.append) == first
    assert told == first, "what is read again was not measured again"
    assert opened["times"] == 1
    assert len(run(task, opened, tmp_path / "cache", limit=1)[0].items) == 1
    assert opened["times"] == 2
    run(task_of(tmp_path, rows[:1], {"kind": "exact"}), opened, tmp_path / "cache")
    assert opened["times"] == 3


def test_what_does_not_fit_loses_its_beginning_and_is_counted(tmp_path):
    reader = Reader(max_tokens=20, says=lambda _: "yes")
    rows = [{"question": "a" * 30 + "?", "answer": "yes"}, {"question": "b?", "answer": "yes"}]
    result = result_of(task_of(tmp_path, rows, {"kind": "exact"}), reader)
    assert (result.num_shortened, len(result.items)) == (1, 2)
    assert [len(text) for text, _ in reader.asked] == [10, 2]
    rows = [row | {"choices": ["yes", "perhaps"]} for row in rows]
    reader.asked.clear()
    result = result_of(task_of(tmp_path, rows, {"kind": "multiple_choice"}), reader)
    assert result.num_shortened == 2
    assert [len(context + text) for context, text in reader.asked[:2]] == [21, 21]
    with pytest.raises(BadRequestError, match=r"items.jsonl, row 1: a choice has 8 tokens"):
        result_of(task_of(tmp_path, rows, {"kind": "multiple_choice"}), Reader(max_tokens=7))


def test_a_conversation_needs_a_model_that_takes_one(judge, tmp_path):
    task = task_of(tmp_path, [{"question": "x", "answer": "y"}], {"kind": "exact"}, chat=True, system="Be short.")
    talker = Talker(says=lambda _: "y")
    assert scores_of(task, talker) == [1]
    assert talker.asked == [("<system>Be short.<user>x<assistant>", "")]
    for other in (Reader(), judge):
        with pytest.raises(NoChatTemplateError, match="has no chat template"):
            scores_of(task, other)


def test_choices_are_asked_in_a_conversation(tmp_path):
    talker = Talker(likes=lambda _, text: float(text == "c"))
    rows = [{"question": "x", "choices": ["ab", "c"], "answer": "c"}]
    assert scores_of(task_of(tmp_path, rows, {"kind": "multiple_choice"}, chat=True), talker) == [1]
    assert talker.asked == [("<user>x<assistant>", "ab"), ("<user>x<assistant>", "c")]


def test_a_tokenizer_without_special_tokens_works_or_is_refused(tmp_path):
    tokenizer = character_tokenizer()
    whole = TorchJudge(tiny_model(), tokenizer)
    bare = character_tokenizer()
    for name in ("bos_token", "eos_token", "pad_token"):
        setattr(bare, name, None)
    bare_judge = TorchJudge(tiny_model(), bare)
    rows = [{"question": text, "answer": "y"} for text in ("What is it?", "Why?")]
    written = task_of(tmp_path, rows, {"kind": "exact", "until": [], "max_new_tokens": 4})
    found, expected = result_of(written, bare_judge), result_of(written, whole)
    assert [item.answer for item in found.items] == [item.answer for item in expected.items]
    chosen = task_of(
        tmp_path,
        [rows[0] | {"choices": ["y", "n"]}],
        {"kind": "multiple_choice", "normalised": "unconditional", "unconditional_prompt": ""},
    )
    assert len(scores_of(chosen, whole)) == 1
    with pytest.raises(BadRequestError, match="no end-of-text token"):
        scores_of(chosen, bare_judge)


def test_another_limit_or_judge_is_another_question(tmp_path):
    task = task_of(tmp_path, [{"question": "x", "answer": "y"}], {"kind": "exact"})
    one = CustomQuestion(task=task)
    assert one.identity != replace(one, limit=1).identity
    assert one.identity == CustomQuestion(task=task).identity
