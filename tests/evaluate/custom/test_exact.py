"""What does not count in a comparison of texts."""

from __future__ import annotations

from itertools import combinations
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.custom.exact import is_same, normalise
from birdbone.evaluate.custom.scoring import Aspect

ASPECTS = get_args(Aspect)
SUBSETS = [chosen for size in range(5) for chosen in combinations(ASPECTS, size)]

few = settings(max_examples=30)


@few
@given(st.text(), st.sampled_from(SUBSETS))
def test_a_text_is_the_same_as_itself_and_normalising_it_again_changes_nothing(text, ignores):
    once = normalise(text, ignores)
    assert normalise(once, ignores) == once
    assert is_same(text, [text], ignores)


@few
@given(st.text(), st.sampled_from(SUBSETS), st.sampled_from(ASPECTS))
def test_ignoring_more_parts_no_texts(text, ignores, more):
    other = normalise(text, ignores)
    assert is_same(text, [other], {*ignores, more}) or more == "articles"


@few
@given(st.text(st.characters(codec="ascii")))
def test_case_and_spaces_do_not_count_where_they_are_ignored(text):
    assert is_same(f"  {text.upper()}\n", [text.lower().replace(" ", "  ")], ("case", "spaces"))


@pytest.mark.parametrize(
    ("text", "right", "ignores", "same"),
    [
        ("Paris.", "paris", ("case", "punctuation"), True),
        ("Paris.", "paris", ("case",), False),
        ("the  bird", "bird", ("articles", "spaces"), True),
        ("the bird", "bird", ("spaces",), False),
        ("there", "re", ("articles",), False),
        ("caf\u00e9", "cafe\u0301", (), True),
        ("Stra\u00dfe", "STRASSE", ("case",), True),
        ("«yes»", "yes", ("punctuation",), True),
        ("a b", "ab", ("spaces",), False),
    ],
)
def test_by_hand(text, right, ignores, same):
    assert is_same(text, ["something else", right], ignores) == same
