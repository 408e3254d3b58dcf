"""Generated items are right by their making, and the check tells knowledge from chance."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.checks.judges import Knows, whole_judge

from birdbone.evaluate.checks import Template, generate_items
from birdbone.evaluate.checks.generated import TEMPLATES, WORDS, check_generated, mutate_items
from birdbone.evaluate.checks.shares import share_interval

WHOLE = whole_judge()
few = settings(max_examples=25)
SINGULAR = {word["one"] for word in WORDS["noun"]}
VERBS_OF_ONE = {word["one"] for word in WORDS["acts"]}


@few
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_items_are_whole_distinct_and_the_same_for_the_same_seed(seed, num_each):
    items = generate_items(seed=seed, num_each=num_each)
    assert items == generate_items(seed=seed, num_each=num_each)
    assert len({(item.context, item.right) for item in items}) == len(items)
    assert {item.kind for item in items} == {template.name for template in TEMPLATES}
    for item in items:
        assert not set("{}") & set(item.context + "".join(item.choices))
        assert len(set(item.choices)) == len(item.choices) >= 2


@few
@given(st.integers(0, 10_000))
def test_a_verb_agrees_with_the_head_and_not_with_the_noun_between(seed):
    items = [item for item in generate_items(seed=seed, num_each=2) if "relative" in item.kind or "place" in item.kind]
    assert len(items) == 8
    for item in items:
        (
            _,
            head,
            *_,
        ) = item.context.split()
        assert (item.right.strip(" .") in VERBS_OF_ONE) == (head in SINGULAR)


@few
@given(st.integers(0, 10_000))
def test_what_is_copied_is_the_third_of_three_different_words(seed):
    for item in [item for item in generate_items(seed=seed, num_each=3) if item.kind == "copying"]:
        words = item.context.replace(",", " ").replace(".", " ").split()
        assert len(set(words)) == 3
        assert item.right == f" {words[2]}."


def test_a_template_of_ones_own_worked_by_hand():
    template = Template(name="own", context="{pet1.one} and {pet2.one}", right=" {pet2.one}", wrong=(" {pet1.one}",))
    items = generate_items(seed=0, num_each=9, templates=[template], words={"pet": ({"one": "cat"}, {"one": "dog"})})
    assert {(item.context, item.right) for item in items} == {("cat and dog", " dog"), ("dog and cat", " cat")}
    with pytest.raises(KeyError):
        generate_items(seed=0, num_each=1, templates=[template], words={})


@few
@given(st.integers(0, 10_000))
def test_a_mutated_item_keeps_its_choices_and_its_answer(seed):
    items = generate_items(seed=seed, num_each=1)
    mutants = mutate_items(items, seed=seed)
    assert mutants == mutate_items(items, seed=seed)
    assert {mutant.kind for mutant in mutants if "counting" in mutant.kind} >= {
        "counting, typos",
        "counting, long_input",
    }
    by_kind = {item.kind: item for item in items}
    for mutant in mutants:
        origin = by_kind[mutant.kind.rsplit(", ", 1)[0]]
        assert mutant.context != origin.context
        assert (mutant.choices, mutant.answer) == (origin.choices, origin.answer)


def test_right_answers_stand_in_every_place():
    items = generate_items(seed=1, num_each=20)
    shares = [sum(item.answer == place for item in items) / len(items) for place in (0, 1)]
    assert min(shares) > 0.3


def test_a_judge_that_knows_passes_and_one_that_knows_the_contrary_fails():
    items = generate_items(seed=2, num_each=3)
    right = {item.context + item.right for item in items}
    wrong = {item.context + choice for item in items for choice in item.choices} - right
    passed, failed = check_generated(Knows(WHOLE, right), items), check_generated(Knows(WHOLE, wrong), items)
    assert (passed.outcome, passed.figures["share_right"]) == ("pass", 1)
    assert (failed.outcome, failed.figures["share_right"]) == ("fail", 0)
    assert passed.figures["chance"] == pytest.approx((9 * 3 / 2 + 3 / 3) / 30)


def test_a_judge_without_an_opinion_is_a_warning_and_no_pass():
    found = check_generated(Knows(WHOLE, set()), generate_items(seed=2, num_each=8))
    assert found.outcome == "warn"
    assert found.figures["low"] < found.figures["chance"] < found.figures["high"]


@few
@given(st.integers(0, 60), st.integers(0, 60))
def test_the_interval_of_a_share_holds_it_and_mirrors(num_hits, num_misses):
    low, high = share_interval(num_hits, num_hits + num_misses)
    mirrored = share_interval(num_misses, num_hits + num_misses)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))
    if num_hits + num_misses:
        assert low - 1e-12 <= num_hits / (num_hits + num_misses) <= high + 1e-12


def test_wilsons_interval_of_8_in_10():
    assert share_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
