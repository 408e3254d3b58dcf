"""Texts asked in groups: where they are cut, and what does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.checks.judges import CONTEXT, whole_judge
from tests.evaluate.fairness.believers import Believes

from birdbone.evaluate.fairness.likelihoods import (
    Options,
    choose_answers,
    end_of_text,
    fits,
    score_groups,
    whole_text,
)

TEXT = st.text(st.characters(codec="ascii", categories=("L", "P", "Z")), min_size=1, max_size=20)


@settings(max_examples=8)
@given(TEXT, TEXT)
def test_a_text_is_as_likely_as_its_beginning_and_its_end(begin: str, end: str) -> None:
    judge = whole_judge()
    whole, first = whole_text(judge, begin + end), whole_text(judge, begin)
    rest = end_of_text(judge, begin, end)
    assert judge.decode([*rest.context, *rest.tokens]) == begin + end
    behind_prefix = type(rest)((judge.prefix_token, *rest.context), rest.tokens)
    of_whole, of_first, of_rest = (one.logprob for one in judge.score([whole, first, behind_prefix]))
    assert of_whole == pytest.approx(of_first + of_rest, abs=1e-3)


def test_an_end_after_nothing_stands_behind_the_prefix_token() -> None:
    judge = whole_judge()
    assert end_of_text(judge, "", "ab").context == (judge.prefix_token,)


def test_all_of_a_group_is_asked_or_nothing() -> None:
    judge = whole_judge()
    short, long = whole_text(judge, "short"), whole_text(judge, "x" * (CONTEXT + 1))
    assert fits(judge, whole_text(judge, "x" * CONTEXT))
    assert not fits(judge, long)
    found = score_groups(judge, [[short, short], [short, long], [short]])
    assert found[1] is None
    assert found[0] == pytest.approx((found[2][0], found[2][0]))


def test_the_likelier_answer_per_byte_is_chosen() -> None:
    judge = Believes(lambda _, text: -6.0 if text == " ab" else -8.0)
    question = Options(prompt="Q:", answers=(" ab", " abcdefg"))
    assert choose_answers(judge, [question]) == [1]  # -8 / 8 bytes beats -6 / 3


def test_of_equal_answers_the_first_is_chosen_and_a_long_question_is_left_out() -> None:
    judge = Believes(lambda *_: -2.0, max_tokens=20)
    questions = [Options(prompt="Q:", answers=(" ab", " cd")), Options(prompt="Q" * 30, answers=(" ab", " cd"))]
    assert choose_answers(judge, questions) == [0, None]
