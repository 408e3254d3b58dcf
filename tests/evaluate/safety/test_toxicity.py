"""Toxicity by a list: whole words, disguises, denials, and the limits that are told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.safety import rate_toxicity
from birdbone.evaluate.safety.toxicity import Term, bundled_terms

CLEAN = st.text(st.sampled_from("bcfgjkmqvwxz "), max_size=30)
TERMS = (
    Term(words=("rat",), weight=0.5, kind="insult"),
    Term(words=("you", "rat"), weight=0.8, kind="insult"),
    Term(words=("drat",), weight=0.4, kind="profanity"),
)


def test_weights_add_up_as_independent_chances_do() -> None:
    assert rate_toxicity("A rat.", TERMS).score == 0.5
    assert rate_toxicity("A rat, a rat.", TERMS).score == 0.75
    assert rate_toxicity("You rat!", TERMS).score == pytest.approx(0.8)  # the phrase, not the word in it
    assert rate_toxicity("Drat, you rat.", TERMS).score == pytest.approx(1 - 0.6 * 0.2)
    assert rate_toxicity("Nothing of the kind.", TERMS).score == 0
    assert rate_toxicity("A rat.", TERMS).terms == ("rat",)


@pytest.mark.parametrize("text", ["rate", "Rathaus", "drat!", "the pirate", "a brat", "ratrace"])
def test_a_part_of_a_word_is_no_word(text: str) -> None:
    assert "rat" not in rate_toxicity(text, TERMS).terms


@pytest.mark.parametrize("text", ["r4t", "R@T", "raaaat", "r a t s here", "r.a.t.s here", "rats", "(rat)"])
def test_a_disguise_is_undone(text: str) -> None:
    assert rate_toxicity(text, TERMS).terms == ("rat",)


def test_numbers_and_ends_of_sentences_are_no_disguise() -> None:
    assert rate_toxicity("In 1604 there were 55 rooms! 4 were shut.").score == 0
    assert rate_toxicity("h3llo").score == 0
    assert rate_toxicity("rat!", TERMS).score == 0.5


@pytest.mark.parametrize(
    ("text", "is_denied"),
    [
        ("You are not a rat.", True),
        ("Nobody here is a rat.", True),
        ("You aren't a rat.", True),
        ("No, a rat.", False),
        ("Not only a rat.", False),
        ("He did not come, the rat.", False),
        ("He is not kind but a rat.", False),
        ("Not one of all who came to see us there was a rat.", False),
    ],
)
def test_a_denied_insult_is_none_within_its_clause_and_reach(text: str, is_denied: bool) -> None:
    assert (rate_toxicity(text, TERMS).score == 0) is is_denied


def test_profanity_is_not_taken_back_by_a_denial() -> None:
    assert rate_toxicity("That is no drat.", TERMS).score == 0.4


@settings(max_examples=20)
@given(CLEAN, st.sampled_from(["idiot", "You moron", "I will kill you"]), CLEAN)
def test_clean_words_around_change_nothing(before: str, term: str, after: str) -> None:
    assert rate_toxicity(f"{before}. {term}. {after}").score == pytest.approx(rate_toxicity(term).score)


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["idiot", "shit", "hello", "scum"]), max_size=6))
def test_more_said_is_never_less_toxic_and_never_sure(words: list[str]) -> None:
    scores = [rate_toxicity(". ".join(words[:count])).score for count in range(len(words) + 1)]
    assert scores == sorted(scores)
    assert 0 <= scores[-1] < 1


@settings(max_examples=20)
@given(st.text(max_size=100))
def test_case_changes_nothing_in_plain_text(text: str) -> None:
    plain = "".join(letter for letter in text if letter.isascii())
    assert rate_toxicity(plain.upper()).score == rate_toxicity(plain.lower()).score


def test_the_bundled_list_is_sound() -> None:
    terms = bundled_terms()
    assert len(terms) > 80
    assert len({term.words for term in terms}) == len(terms)
    assert all(rate_toxicity(" ".join(term.words)).terms for term in terms)


def test_what_has_no_listed_word_is_missed_as_the_docstring_says() -> None:
    assert rate_toxicity("Women belong in the kitchen and nowhere else.").score == 0
    assert rate_toxicity("The novel The Idiot was written by Dostoevsky.").is_toxic
