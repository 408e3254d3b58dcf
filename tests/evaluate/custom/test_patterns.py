"""Regular expressions of a user end, and say what Python's own do."""

from __future__ import annotations

import re

import pytest

from birdbone.evaluate.custom.patterns import search_all
from birdbone.evaluate.errors import SlowPatternError

TEXTS = ["", "is (B) or (C)", "caf\u00e9\nline", "x" * 5000, "\ud800"]


@pytest.mark.parametrize("pattern", [r"\((\w)\)", r"(?i)(CAF).(\n)?|x(y)?|$"])
def test_the_first_match_is_pythons_own_and_the_last_is_the_last(pattern):
    first = search_all(pattern, TEXTS, take="first", cpu_seconds=5)
    last = search_all(pattern, TEXTS, take="last", cpu_seconds=5)
    for text, one, other in zip(TEXTS, first, last, strict=True):
        found = list(re.finditer(pattern, text))
        assert one == ((found[0][0], *found[0].groups()) if found else None)
        assert other == ((found[-1][0], *found[-1].groups()) if found else None)


def test_a_pattern_without_an_end_is_ended_and_its_text_is_named():
    with pytest.raises(SlowPatternError, match=r"answer 1 after 1 seconds") as caught:
        search_all(r"(a+)+$", ["fine", "a" * 60 + "b", "fine"], take="first", cpu_seconds=1)
    assert caught.value.fields["item"] == 1
