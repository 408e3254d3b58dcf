"""Answers that another model judges: by likelihood, in both orders, and the result says who judged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.custom.readers import Reader, Talker, task_of

from birdbone.evaluate.benchmarks.comparison import compare
from birdbone.evaluate.benchmarks.standing import standing_of
from birdbone.evaluate.custom import CustomQuestion, Grader
from birdbone.evaluate.custom.grading import grade_all
from birdbone.evaluate.custom.items import Item
from birdbone.evaluate.custom.prompts import Fitting
from birdbone.evaluate.custom.scoring import JudgedScoring
from birdbone.evaluate.errors import BadTaskError, NoChatTemplateError, TooFewItemsError, UnpairedError

few = settings(max_examples=25)
ROWS = [{"question": f"{at}?", "answer": f"no {at}", "topic": "birds"} for at in range(8)]
JUDGED = {"kind": "judged", "judge": "somebody"}
ITEM = Item(where="own, row 1", prompt="Why?", answers=(), values={"answer": "{response}"})


def grader_of(judge, name="wise", artefact="b3:" + "f" * 64):
    @contextmanager
    def open_judge() -> Iterator[Reader]:
        yield judge

    return Grader(name=name, artefact=artefact, settings={"engine": "reader"}, open=open_judge)


def grade(judge, response="Because.", item=ITEM, **more):
    scoring = JudgedScoring(**(JUDGED | more))
    (value,) = grade_all(judge, scoring, [item], [response], fitting=Fitting(10_000), progress=None)
    return value


@few
@given(st.lists(st.floats(-50, 0), min_size=5, max_size=5))
def test_a_grade_is_the_mean_of_the_scale_by_likelihood(logprobs):
    reader = Reader(likes=lambda _, text: logprobs[int(text) - 1])
    total = sum(map(math.exp, logprobs))
    by_hand = sum(place * math.exp(logprob) / total for place, logprob in enumerate(logprobs)) / 4
    assert grade(reader) == pytest.approx(by_hand, abs=1e-9)


def test_the_ends_of_the_scale_are_0_and_1_and_any_words_may_be_grades():
    for sure, score in (("bad", 0), ("fair", 0.5), ("good", 1)):
        reader = Reader(likes=lambda _, text, sure=sure: 0.0 if text == f" {sure}" else -100.0)
        assert grade(reader, scale=("bad", "fair", "good")) == pytest.approx(score)


@few
@given(st.floats(-20, 20))
def test_a_judge_that_prefers_a_place_gives_no_answer_an_advantage(lean):
    assert grade(Reader(likes=lambda _, text: lean if text == " A" else 0.0), reference="answer") == pytest.approx(0.5)


def test_a_judge_that_knows_the_better_answer_finds_it_in_both_orders():
    def likes(context: str, text: str) -> float:
        first = context.index("Because.") < context.index("{response}")
        return 0.0 if (text == " A") == first else -100.0

    reader = Reader(likes=likes)
    assert grade(reader, reference="answer") == pytest.approx(1)
    assert len(reader.asked) == 4
    worse = Reader(likes=lambda context, text: likes(context, " A" if text == " B" else " B"))
    assert grade(worse, reference="answer") == pytest.approx(0, abs=1e-9)


def test_what_an_answer_holds_is_not_filled_again():
    reader = Reader()
    grade(reader, response="{prompt} {x}", rubric="{answer} | {response} | {prompt}\nGrade:")
    assert {context for context, _ in reader.asked} == {"{response} | {prompt} {x} | Why?\nGrade:"}


def test_grades_that_begin_each_other_are_refused():
    with pytest.raises(BadTaskError, match="'1' is the beginning of '10'"):
        grade(Reader(), scale=("1", "5", "10"))


def test_a_rubric_may_be_a_conversation():
    talker = Talker(likes=lambda _, text: float(text == "5"))
    grade(talker, judge_chat=True, rubric="{response}?")
    assert talker.asked[0] == ("<user>Because.?<assistant>", "1")
    with pytest.raises(NoChatTemplateError):
        grade(Reader(), judge_chat=True)


def ask(task, grader, **more):
    says = Reader(says=lambda prompt: f"answer to {prompt}")
    return CustomQuestion(task=task, grader=grader, **more).ask(says, artefact="b3:" + "a" * 64)


def test_a_result_says_which_model_judged(tmp_path):
    task = task_of(tmp_path, ROWS, JUDGED | {"rubric": "On {topic}: {prompt} {response}"})
    wise = Reader(likes=lambda context, text: float(text) * len(context) / 40)
    result = ask(task, grader_of(wise))
    assert result.metric == "grade by a model: wise b3:ffffffffffff"
    assert result.settings["judged_by"] == "wise"
    assert result.settings["judged_itself"] is False
    assert all(0 < item.score < 1 for item in result.items)
    assert standing_of(result).is_above_chance is None
    assert standing_of(result).in_words == "a model's opinion"
    assert standing_of(result).low <= result.accuracy <= standing_of(result).high
    assert wise.asked[0][0] == "On birds: 0? answer to 0?"
    itself = ask(task, grader_of(wise, artefact="b3:" + "a" * 64))
    assert itself.settings["judged_itself"] is True
    with pytest.raises(UnpairedError):
        compare([result], [ask(task, grader_of(wise, artefact="b3:" + "e" * 64))])
    assert compare([result], [result])[0].difference.value == 0


def test_what_the_judge_has_to_leave_out_is_counted(tmp_path):
    task = task_of(tmp_path, ROWS, JUDGED)
    assert ask(task, grader_of(Reader(max_tokens=60))).num_shortened == len(ROWS) * 5
    assert ask(task, grader_of(Reader())).num_shortened == 0


def test_a_judged_task_needs_a_judge_and_enough_items(tmp_path):
    task = task_of(tmp_path, ROWS, JUDGED)
    with pytest.raises(BadTaskError, match="none was given"):
        CustomQuestion(task=task)
    with pytest.raises(TooFewItemsError, match="asks 7 items"):
        CustomQuestion(task=task, grader=grader_of(Reader()), limit=7)


def test_another_judge_is_another_question(tmp_path):
    task = task_of(tmp_path, ROWS, JUDGED | {"reference": "answer"})
    one, other = (
        CustomQuestion(task=task, grader=grader_of(Reader(), artefact=f"b3:{letter * 64}")) for letter in "ef"
    )
    assert one.identity != other.identity
    assert ask(task, grader_of(Reader())).accuracy == 0.5
