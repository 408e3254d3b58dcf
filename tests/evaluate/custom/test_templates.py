"""A template holds places and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.custom.templates import fill, places_of

NAMES = st.text(st.sampled_from("abc_ .1"), min_size=1, max_size=5).filter(str.strip)

few = settings(max_examples=30)


@few
@given(st.lists(st.tuples(st.text(max_size=5), NAMES), max_size=4), st.text())
def test_a_template_is_filled_once_and_keeps_what_stands_around(parts, value):
    template = "".join(text.replace("{", "{{").replace("}", "}}") + f"{{{name}}}" for text, name in parts)
    assert set(places_of(template)) == {name for _, name in parts}
    assert fill(template, lambda _: value) == "".join(text + value for text, _ in parts)


@pytest.mark.parametrize("template", ["{", "}", "{}", "{ }", "{a!r}", "{a:>5}", "{{a}", "{a{b}}"])
def test_what_is_no_place_is_refused(template):
    with pytest.raises(ValueError, match=r"brace|place"):
        places_of(template)
