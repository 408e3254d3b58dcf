"""A sound judge passes at its edges; each judge that is broken there is found."""

import pytest
from tests.evaluate.checks.judges import (
    CONTEXT,
    CutsToFit,
    Growing,
    IgnoresCase,
    NotANumber,
    OneShort,
    Unclear,
    whole_judge,
)

from birdbone.evaluate.checks.edges import (
    UNUSUAL_TEXTS,
    check_longest,
    check_repeated,
    check_shortest,
    check_unusual_texts,
)

WHOLE = whole_judge()


@pytest.mark.parametrize("check", [check_shortest, check_longest, check_unusual_texts, check_repeated])
def test_a_sound_judge_passes(check):
    found = check(WHOLE)
    assert (found.outcome, found.figures["num_faults"]) == ("pass", 0)
    assert found.num_items > 0


def test_the_longest_text_is_as_long_as_the_model_says():
    found = check_longest(WHOLE)
    assert found.figures["max_tokens"] == CONTEXT
    assert found.reason == f"{CONTEXT} tokens are answered, {CONTEXT + 1} are refused clearly."


def test_a_judge_that_cuts_what_is_too_long_fails():
    found = check_longest(CutsToFit(WHOLE))
    assert found.outcome == "fail"
    assert found.reason.startswith(f"{CONTEXT + 1} tokens, one more than the model takes, is answered")


def test_a_judge_that_takes_one_less_than_it_says_fails():
    found = check_longest(OneShort(WHOLE))
    assert found.outcome == "fail"
    assert found.reason.startswith(f"All {CONTEXT} tokens, 1 of them judged, is not answered: BadRequestError")
    assert found.figures["num_faults"] == 2


def test_a_judge_that_refuses_unclearly_fails():
    for check in (check_shortest, check_longest):
        found = check(Unclear(WHOLE))
        assert found.outcome == "fail"
        assert "is refused by IndexError: index out of range in self" in found.reason


def test_a_context_that_is_too_long_to_fill_is_skipped_and_not_passed():
    found = check_longest(WHOLE, max_probed_tokens=CONTEXT - 1)
    assert (found.outcome, found.num_items, found.figures) == ("skipped", 0, {})


def test_a_judge_that_says_nan_fails():
    for check in (check_repeated, check_longest, check_unusual_texts):
        found = check(NotANumber(WHOLE))
        assert found.outcome == "fail"
        assert "a likelihood is nan" in found.reason


def test_a_tokenizer_that_loses_case_is_a_warning_and_a_fail_where_it_promised():
    warned, failed = (
        check_unusual_texts(IgnoresCase(WHOLE), {"capitals": "Bird", "none": "bird"}),
        check_unusual_texts(IgnoresCase(WHOLE), {"capitals": "Bird", "none": "bird"}, must_be_exact=True),
    )
    assert (warned.outcome, failed.outcome) == ("warn", "fail")
    assert warned.reason == failed.reason == "Lost on the way to tokens and back: capitals."
    assert warned.figures["share_exact"] == 0.5


def test_a_tokenizer_that_never_settles_fails():
    found = check_unusual_texts(Growing(WHOLE))
    assert found.outcome == "fail"
    assert found.figures["num_faults"] == len(UNUSUAL_TEXTS)
    assert check_shortest(Growing(WHOLE)).reason == "No tokens are read as '.'."


def test_a_tokenizer_of_bytes_gives_back_every_unusual_text():
    assert check_unusual_texts(WHOLE, must_be_exact=True).figures["share_exact"] == 1
    for text in UNUSUAL_TEXTS.values():
        text.encode("utf-8")  # a surrogate would raise
