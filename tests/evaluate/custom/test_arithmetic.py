"""Formulas are Python's own arithmetic on whole numbers, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.custom.arithmetic import MAX_MAGNITUDE, NoValueError, calculate, is_met, names_in

SMALL = st.integers(-20, 20)


def formulas() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["a", "b"]) | st.integers(0, 9).map(str)
    return st.recursive(
        leaves,
        lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        max_leaves=6,
    )


few = settings(max_examples=30)


@few
@given(formulas(), SMALL, SMALL)
def test_a_formula_is_what_python_says(formula, a, b):
    assert names_in(formula) <= {"a", "b"}
    try:
        expected = eval(formula, {}, {"a": a, "b": b})
    except ZeroDivisionError:
        with pytest.raises(NoValueError):
            calculate(formula, {"a": a, "b": b})
        return
    assert calculate(formula, {"a": a, "b": b}) == expected
    assert is_met(f"{formula} == {expected}".replace("== -", "== 0 - "), {"a": a, "b": b})


def test_conditions_may_be_chained():
    assert is_met("0 < a <= 3 != b", {"a": 3, "b": 4})
    assert not is_met("0 < a < 3", {"a": 3})
    assert is_met("a % 2", {"a": 3})


def test_what_is_no_whole_number_has_no_value():
    assert calculate("a / b", {"a": 6, "b": -3}) == -2
    for formula in ("a / 4", "a // 0", f"a * {MAX_MAGNITUDE}"):
        with pytest.raises(NoValueError):
            calculate(formula, {"a": 6})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a ** 9",
        "f(a)",
        "a.b",
        "a[0]",
        "'a'",
        "1.5",
        "True",
        "a if a else b",
        "a in b",
        "a < (b < 1)",
        "+a",
        "-" * 300 + "a",
        "(" * 150,
    ],
)
def test_all_else_is_refused(text):
    with pytest.raises(ValueError, match=r"formula|more than|compares"):
        names_in(text)
