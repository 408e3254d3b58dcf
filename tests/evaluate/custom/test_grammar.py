"""Items of a grammar: the same seed gives the same, none comes twice, and they are in balance."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from birdbone.evaluate.checks.mutations import MUTATIONS
from birdbone.evaluate.custom.generation import CHANGES, Grammar, MutatedItems
from birdbone.evaluate.custom.grammar import ChoiceColumns, generate_rows
from birdbone.evaluate.custom.mutated import mutate_rows
from birdbone.evaluate.custom.rows import Row
from birdbone.evaluate.errors import BadTaskError

few = settings(max_examples=25)
SUMS = {
    "numbers": {"a": {"low": 1, "high": 9}, "b": {"low": 1, "high": 9}},
    "formulas": {"total": "a + b", "more": "total + 1", "product": "a * b"},
    "where": ["a < b"],
    "lists": {"who": ["Ada", "Ben", "Cleo"], "tale": ["{who1} has {a}, {who2} has {b}.", "{who1}: {a} + {b}?"]},
}
ASKED = {"question": "{tale}", "choices": ["{total}", "{more}", "{product}"], "answer": "{total}"}
WHERE = ChoiceColumns(choices=("choices",), answer="answer")


def grammar(count=20, columns=ASKED, **more):
    return Grammar(kind="grammar", count=count, columns=columns, **(SUMS | more))


def values_of(rows):
    return [dict(row.values) for row in rows]


@few
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_the_same_seed_gives_the_same_different_items(seed, count):
    made = generate_rows(grammar(count, seed=seed), name="own")
    assert made == generate_rows(grammar(count, seed=seed), name="own")
    assert len({repr(sorted(row.values.items())) for row in made}) == count
    other = generate_rows(grammar(count, seed=seed + 1), name="own")
    assert count < 10 or made != other


@few
@given(st.integers(0, 10_000))
def test_arithmetic_and_conditions_hold_in_every_item(seed):
    columns = {"question": "{a} {b} {total} {more} {product}"}
    for row in generate_rows(grammar(12, columns, seed=seed), name="own"):
        a, b, total, more, product = map(int, row.values["question"].split())
        assert 1 <= a < b <= 9
        assert (total, more, product) == (a + b, a + b + 1, a * b)


@few
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_right_choice_stands_in_each_place_as_often(seed, count):
    made = generate_rows(grammar(count, seed=seed, balance="place"), name="own", where=WHERE)
    places = Counter(row.values["choices"].index(row.values["answer"]) for row in made)
    assert max(places.values()) - min(places[place] for place in range(3)) <= 1
    assert all(len(set(row.values["choices"])) == 3 for row in made)


@few
@given(st.integers(0, 10_000), st.integers(2, 20))
def test_each_choice_is_right_as_often(seed, count):
    columns = {"question": "Is {a} below {c}?", "choices": ["yes", "no"], "answer": "{word}"}
    by_hand = {
        "numbers": {"a": {"low": 1, "high": 9}, "c": {"low": 1, "high": 9}},
        "formulas": {},
        "where": [],
        "lists": {"word": ["yes", "yes, yes", "no"]},
    }
    with pytest.raises(BadTaskError, match="not in the list"):
        generate_rows(grammar(200, columns, seed=seed, balance="answer", **by_hand), name="own", where=WHERE)
    by_hand["lists"] = {"word": ["yes", "no"]}
    made = generate_rows(grammar(count, columns, seed=seed, balance="answer", **by_hand), name="own", where=WHERE)
    answers = Counter(row.values["answer"] for row in made)
    assert abs(answers["yes"] - answers["no"]) <= 1
    assert all(row.values["choices"] == ["yes", "no"] for row in made)


def test_choices_in_columns_of_their_own_are_balanced_too():
    columns = {"question": "{a} + {b}?", "one": "{total}", "two": "{more}", "answer": "{total}"}
    where = ChoiceColumns(choices=("one", "two"), answer="answer")
    made = generate_rows(grammar(10, columns, balance="place"), name="own", where=where)
    assert Counter(row.values["one"] == row.values["answer"] for row in made) == {True: 5, False: 5}


def test_a_place_is_the_same_word_everywhere_and_numbered_ones_differ():
    lists = {"noun": [{"one": "bird", "many": "birds"}, {"one": "cat", "many": "cats"}], "end": ["{noun1.many}!"]}
    columns = {"text": "{noun1.one} {noun2.one} {noun1.many} {end}"}
    made = generate_rows(Grammar(kind="grammar", count=2, lists=lists, columns=columns), name="own")
    assert {row.values["text"] for row in made} == {"bird cat birds birds!", "cat bird cats cats!"}


def test_a_grammar_that_is_too_small_says_how_many_it_holds():
    with pytest.raises(BadTaskError, match="gave 3 different items") as caught:
        generate_rows(Grammar(kind="grammar", count=4, lists={"x": ["a", "b", "c"]}, columns={"p": "{x}"}), name="own")
    assert caught.value.fields["found"] == 3
    with pytest.raises(BadTaskError, match="more different words"):
        generate_rows(Grammar(kind="grammar", count=1, lists={"x": ["a"]}, columns={"p": "{x1}{x2}"}), name="own")
    never = grammar(1, where=["a > b", "b > a"])
    with pytest.raises(BadTaskError, match="gave 0 different"):
        generate_rows(never, name="own")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": {"p": "{nothing}"}}, "no list, number or formula"),
        ({"columns": {"p": "{a.many}"}}, "no list, number or formula"),
        ({"columns": {"p": "{who.many}"}}, "no such form"),
        ({"lists": {"who": []}}, "is empty"),
        ({"lists": {"who": ["x", "x"]}}, "a word twice"),
        ({"lists": {"x": ["{y}"], "y": ["a", "{x}"]}}, "in a circle"),
        ({"lists": {"x": ["{x}"]}}, "in a circle"),
        ({"lists": {"a": ["x"]}}, "different names"),
        ({"formulas": {"total": "later", "later": "a"}}, "names later"),
        ({"formulas": {"total": "a ** b"}}, "holds more than"),
        ({"where": ["zzz > 1"]}, "names zzz"),
        ({"numbers": {"a": {"low": 2, "high": 1}}}, "is above high"),
        ({"lists": {"X1": ["a"]}}, "pattern"),
    ],
)
def test_a_grammar_that_cannot_work_is_refused(change, told):
    with pytest.raises(ValidationError, match=told):
        Grammar.model_validate({"kind": "grammar", "count": 1, "columns": {"p": "{a}"}, **SUMS, **change})


GIVEN = tuple(
    Row(source="own.jsonl", number=at + 1, values={"prompt": text, "answer": at})
    for at, text in enumerate(["The bird is not near.", "7", "I saw a lot of large cats", "I saw a lot of large cats"])
)


@few
@given(st.integers(0, 10_000), st.booleans())
def test_a_change_touches_one_column_and_the_same_seed_gives_the_same(seed, keeps):
    told = MutatedItems(kind="mutations", items="own.jsonl", seed=seed, keeps_given=keeps)
    made = mutate_rows(GIVEN, told)
    assert made == mutate_rows(GIVEN, told)
    by_number = {row.number: row.values for row in GIVEN}
    for row in made:
        assert row.values["answer"] == by_number[row.number]["answer"]
        assert (row.values["prompt"] == by_number[row.number]["prompt"]) == (row.source == "own.jsonl")
    assert [row for row in made if row.source == "own.jsonl"] == (list(GIVEN) if keeps else [])
    assert len(set(map(repr, made))) == len(made)


def test_every_change_of_the_checks_may_be_named():
    assert set(CHANGES) == set(MUTATIONS)
    only = MutatedItems(kind="mutations", items="own.jsonl", changes=("paraphrase",))
    assert [row.number for row in mutate_rows(GIVEN, only)] == [1, 3, 4]
