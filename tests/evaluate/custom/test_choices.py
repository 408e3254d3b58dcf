"""Choices and the right one, however a file names them."""

from __future__ import annotations

import pytest

from birdbone.evaluate.custom.choices import find_right, lettered, read_choices
from birdbone.evaluate.custom.rows import Row
from birdbone.evaluate.custom.scoring import MultipleChoiceScoring
from birdbone.evaluate.errors import BadItemsError

COLOURS = ("red", "green", "blue")


def row(**values):
    return Row(source="own.csv", number=7, values=values)


def scoring(**settings):
    return MultipleChoiceScoring(kind="multiple_choice", **settings)


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        (["red", "green", "blue"], COLOURS),
        ('["red", "green", "blue"]', COLOURS),
        ("red|green | blue", COLOURS),
        ([1, 2.5], ("1", "2.5")),
        ("[1, 2]", ("1", "2")),
    ],
)
def test_a_list_is_read_from_json_or_parted_text(cell, found):
    assert read_choices(row(choices=cell), scoring()) == found


def test_several_columns_are_a_choice_each():
    two = scoring(choices=("b", "a"))
    assert read_choices(row(a="red", b="green"), two) == ("green", "red")


@pytest.mark.parametrize(
    ("answer_as", "answer", "place"),
    [
        ("auto", "green", 1),
        ("auto", "B", 1),
        ("auto", "b)", 1),
        ("auto", 1, 1),
        ("auto", "1", 1),
        ("text", "green", 1),
        ("letter", "C", 2),
        ("index", 0, 0),
        ("index_from_1", "3", 2),
    ],
)
def test_an_answer_names_its_choice(answer_as, answer, place):
    assert find_right(row(answer=answer), "answer", COLOURS, scoring(answer_as=answer_as)) == place


@pytest.mark.parametrize(
    ("answer_as", "answer"),
    [
        ("auto", "pink"),
        ("auto", "D"),
        ("auto", 3),
        ("auto", -1),
        ("text", "B"),
        ("letter", "green"),
        ("index", "3"),
        ("index_from_1", 0),
        ("auto", ""),
        ("index", "9" * 5000),
        ("auto", "²"),
    ],
)
def test_an_answer_that_is_no_choice_is_refused(answer_as, answer):
    with pytest.raises(BadItemsError, match=r"own.csv, row 7 .*none of its 3 choices") as caught:
        find_right(row(answer=answer), "answer", COLOURS, scoring(answer_as=answer_as))
    assert caught.value.fields["column"] == "answer"


def test_an_answer_that_can_be_read_in_two_ways_is_refused():
    with pytest.raises(BadItemsError, match="answer_as"):
        find_right(row(answer="1"), "answer", ("1", "2"), scoring())
    assert find_right(row(answer="1"), "answer", ("1", "2"), scoring(answer_as="text")) == 0
    assert find_right(row(answer="A"), "answer", ("A", "B"), scoring()) == 0, "both ways lead to the same choice"


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("red", "1 choice"),
        ("[]", "0 choice"),
        ("red||blue", "empty"),
        ("red|red", "twice"),
        ("[1", "no JSON list"),
        ([["a"], "b"], "a list"),
        ("|".join(map(str, range(27))), "27 choices"),
        (None, "nothing"),
    ],
)
def test_choices_that_cannot_be_asked_are_refused(cell, told):
    with pytest.raises(BadItemsError, match=told):
        read_choices(row(choices=cell), scoring())


def test_choices_are_listed_by_letters():
    assert lettered(COLOURS) == "A. red\nB. green\nC. blue"
