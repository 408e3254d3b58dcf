"""A judge that heeds only the choices stays; one that a change upsets is found by the check of that change."""

import pytest
from tests.evaluate.checks.judges import HatesChange, Knows, whole_judge

from birdbone.evaluate.benchmarks import Continuation
from birdbone.evaluate.checks import ChoiceItem, generate_items
from birdbone.evaluate.checks.choices import ask_choices
from birdbone.evaluate.checks.perturb import check_perturbations, check_stays

WHOLE = whole_judge()
ITEMS = [item for item in generate_items(seed=4, num_each=6) if item.kind not in ("copying", "counting")]
KNOWN = {item.context for item in ITEMS}
NAMES = ["typos", "case", "white_space", "paraphrase", "long_input", "order_of_examples", "order_of_choices"]


class HeedsChoices(Knows):
    """Finds the choice whose text comes first in the alphabet, whatever stands before."""

    def score(self, requests, *, progress=None):
        found = super().score(requests)
        texts = [self.decode([*one.context, *one.tokens]).split()[-1] for one in requests]
        return [
            type(one)(-sum(ord(letter) / 256.0**place for place, letter in enumerate(text)), False)
            for one, text in zip(found, texts, strict=True)
        ]


def results(judge):
    return {one.name.removeprefix("perturb."): one for one in check_perturbations(judge, ITEMS, seed=1)}


def test_a_judge_that_heeds_only_the_choices_stays_under_every_change():
    found = results(HeedsChoices(WHOLE, set()))
    assert list(found) == NAMES
    letters = found.pop("order_of_choices")
    assert {name: one.outcome for name, one in found.items() if one.outcome != "skipped"} == dict.fromkeys(
        [name for name in found if found[name].num_items], "pass"
    )
    assert all(found[name].figures["share_stayed"] == 1 for name in ("typos", "case", "white_space", "paraphrase"))
    assert (letters.outcome, letters.figures["num_stayed"]) == ("warn", 0)  # it says A, whatever A is


@pytest.mark.parametrize(
    ("name", "is_touched"),
    [
        ("case", lambda text: not any(text.startswith(known) for known in KNOWN)),
        ("white_space", lambda text: any(space in text for space in ("  ", "\n", "\t"))),
        ("paraphrase", lambda text: "close to" in text or "have seen" in text),
        ("long_input", lambda text: ". " in text),
        ("typos", lambda text: not any(text.startswith(known) for known in KNOWN)),
    ],
)
def test_a_judge_that_a_change_upsets_fails_its_check(name, is_touched):
    found = results(HatesChange(WHOLE, is_touched))[name]
    assert found.num_items > 20
    assert found.outcome == "fail"
    assert found.figures["num_stayed"] / found.num_items == found.figures["share_stayed"]


def test_a_share_below_the_bar_is_a_warning_and_one_surely_below_the_other_a_fail():
    pairs = [(item, item) for item in ITEMS[:20]]
    upset = set(range(5))
    some = [(one, flipped(other)) if at in upset else (one, other) for at, (one, other) in enumerate(pairs)]
    found = check_stays(WHOLE, "x", some)
    assert (found.figures["num_stayed"], found.outcome) == (15, "warn")
    assert check_stays(WHOLE, "x", some, warn_below=0.7).outcome == "pass"
    assert check_stays(WHOLE, "x", some, warn_below=1, fail_below=0.95).outcome == "fail"


def flipped(item: ChoiceItem) -> ChoiceItem:
    """Return an item whose answer is never that of `item`: its meanings are others."""
    return ChoiceItem(context=item.context, choices=item.choices, answer=0, stands_for=("x", "y"))


def test_items_that_do_not_fit_are_counted_and_not_judged():
    long = ChoiceItem(context="a" * 500, choices=(" a", " b"), answer=0)
    found = check_stays(WHOLE, "x", [(ITEMS[0], ITEMS[0]), (ITEMS[0], long)])
    assert (found.num_items, found.figures["num_not_asked"]) == (1, 1)
    assert check_stays(WHOLE, "x", []).outcome == "skipped"


def test_choices_are_judged_after_the_same_tokens_and_by_their_sum():
    items = [ChoiceItem(context="The bird", choices=(" sleeps.", " sleep."), answer=0)]
    (choice,) = ask_choices(WHOLE, items)
    ids = [WHOLE.encode("The bird" + text) for text in items[0].choices]
    parted = len("The bird sleep")
    assert ids[0][:parted] == ids[1][:parted]
    alone = [sum_of(one[:parted], one[parted:]) for one in ids]
    assert choice.logprobs == pytest.approx(alone, abs=1e-3)
    assert choice.best == alone.index(max(alone))
    assert choice.margin_nats == pytest.approx(abs(alone[0] - alone[1]), abs=1e-3)


def sum_of(context, tokens):
    return WHOLE.score([Continuation(tuple(context), tuple(tokens))])[0].logprob


def test_an_item_without_a_context_and_one_whose_choice_begins_the_other_are_asked():
    items = [
        ChoiceItem(context="", choices=("a", "b"), answer=0),
        ChoiceItem(context="A", choices=("", "b"), answer=0),
    ]
    assert all(choice is not None and len(choice.logprobs) == 2 for choice in ask_choices(WHOLE, items))
