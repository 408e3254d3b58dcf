"""Each mutation keeps its law on any text, and does what its name says on a known one."""

import random
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from birdbone.evaluate.checks import ChoiceItem
from birdbone.evaluate.checks.mutations import (
    REWRITES,
    add_typos,
    change_case,
    change_spaces,
    list_choices,
    paraphrase,
    put_examples,
    put_preamble,
    reorder_choices,
)

texts = st.one_of(st.text(max_size=60), st.from_regex(r"([A-Za-z]{1,7}[ ,.]{1,2}){0,8}", fullmatch=True))
few = settings(max_examples=25)
seeds = st.integers(0, 1000)
choice_items = st.builds(
    lambda context, choices, place: ChoiceItem(context=context, choices=tuple(choices), answer=place % len(choices)),
    texts,
    st.lists(texts, min_size=2, max_size=5, unique=True),
    st.integers(0, 9),
)
MUTATIONS = [add_typos, change_case, change_spaces, paraphrase, put_preamble]


def distance(one: str, other: str) -> int:
    """Edits between two texts, a swap of neighbours counted as one (optimal string alignment)."""
    rows = [list(range(len(other) + 1))]
    for i, left in enumerate(one, start=1):
        row = [i]
        for j, right in enumerate(other, start=1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (left != right)))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                row[-1] = min(row[-1], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


@pytest.mark.parametrize("mutate", MUTATIONS)
@few
@given(texts, seeds)
def test_the_same_seed_makes_the_same_change(mutate, text, seed):
    assert mutate(text, random.Random(seed)) == mutate(text, random.Random(seed))


@few
@given(texts, seeds, st.integers(0, 4))
def test_a_typo_is_one_edit_inside_a_word(text, seed, max_edits):
    changed = add_typos(text, random.Random(seed), max_edits=max_edits)
    assert distance(text, changed) <= max_edits
    assert re.sub("[A-Za-z]", "", changed) == re.sub("[A-Za-z]", "", text)


def test_the_distance_of_this_test_counts_a_swap_as_one():
    assert [distance("bird", other) for other in ("bird", "brid", "bid", "birrd", "cat")] == [0, 1, 1, 1, 4]


@few
@given(texts, seeds)
def test_case_changes_no_letter_but_its_case(text, seed):
    changed = change_case(text, random.Random(seed))
    assert len(changed) == len(text)
    assert all(new in (old, old.swapcase()) for old, new in zip(text, changed, strict=True))


@few
@given(texts, seeds)
def test_white_space_changes_no_word_and_no_end(text, seed):
    changed = change_spaces(text, random.Random(seed))
    assert changed.split() == text.split()
    assert changed[: len(changed) - len(changed.lstrip())] == text[: len(text) - len(text.lstrip())]
    assert changed[len(changed.rstrip()) :] == text[len(text.rstrip()) :]


@few
@given(texts, seeds)
def test_a_text_without_a_known_phrase_is_not_paraphrased(text, seed):
    assume(not any(phrase.lower() in text.lower() for phrase, _ in REWRITES))
    assert paraphrase(text, random.Random(seed)) == text


@few
@given(texts, seeds, st.integers(0, 400))
def test_a_preamble_stands_before_the_text_and_is_as_long_as_asked(text, seed, num_characters):
    changed = put_preamble(text, random.Random(seed), num_characters=num_characters)
    assert changed.endswith(text)
    assert num_characters <= len(changed) - len(text) <= num_characters + 50 if num_characters else changed == text


@few
@given(choice_items, seeds)
def test_another_order_moves_every_choice_and_keeps_the_right_one_right(item, seed):
    changed = reorder_choices(item, random.Random(seed))
    assert sorted(changed.choices) == sorted(item.choices)
    assert changed.right == item.right
    assert all(new != old for new, old in zip(changed.choices, item.choices, strict=True))


@few
@given(choice_items)
def test_a_letter_means_the_choice_that_is_listed_after_it(item):
    listed = list_choices(item)
    assert listed.meaning(listed.answer) == item.right
    assert all(choice in listed.context for choice in item.choices)
    assert len(set(listed.choices)) == len(item.choices)


def test_changes_worked_by_hand():
    assert {add_typos("cat", random.Random(seed)) for seed in range(60)} == {"cta", "ct", "caat", "cst"}
    assert {change_case("aß", random.Random(seed)) for seed in range(40)} == {"aß", "Aß"}
    assert change_spaces(" a ", random.Random(0)) == " a "
    assert paraphrase("Cannot it?", random.Random(0)) == "Can't it?"
    assert paraphrase("scannot", random.Random(0)) == "scannot"
    item = ChoiceItem(context="Which?", choices=(" a", "b"), answer=1)
    assert list_choices(item).context == "Which? ...\nA. a\nB. b\nAnswer:"
    assert put_examples(item, ["One.", "Two."]).context == "One.\nTwo.\nWhich?"


@pytest.mark.parametrize(("phrase", "rewrite"), REWRITES)
def test_every_rewrite_is_used(phrase, rewrite):
    assert paraphrase(f"So {phrase} then", random.Random(1), max_rewrites=99) == f"So {rewrite} then"
