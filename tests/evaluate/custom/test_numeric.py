"""Numbers in texts, exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.custom.numeric import find_numbers, is_close
from birdbone.evaluate.custom.scoring import NumericScoring

POINT = NumericScoring(kind="numeric")
COMMA = NumericScoring(kind="numeric", decimal="comma")
PLAIN = NumericScoring(kind="numeric", percent="ignored")

few = settings(max_examples=30)


@few
@given(st.integers(-(10**12), 10**12), st.integers(0, 6))
def test_a_number_is_found_however_it_is_written(digits, places):
    value = Fraction(digits, 10**places)
    written = f"{float(value):,.{places}f}" if abs(digits) < 10**9 else f"{digits}e-{places}"
    assert find_numbers(f"so it is {written}.", POINT) == [value]
    swapped = written.translate(str.maketrans(",.", ".,"))
    assert find_numbers(f"so it is {swapped} !", COMMA) == [value]


@few
@given(st.integers(-999, 999), st.integers(1, 999))
def test_a_fraction_is_its_quotient(top, bottom):
    assert find_numbers(f"= {top}/{bottom}", POINT) == [Fraction(top, bottom)]


@few
@given(st.text(st.sampled_from("0123456789.,/%eE+- $()x\u2212"), max_size=60))
def test_any_text_is_read_without_an_error(text):
    for how in (POINT, COMMA, PLAIN):
        assert all(isinstance(value, Fraction) for value in find_numbers(text, how))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,234,567.5 eggs", ["1234567.5"]),
        ("1,2 and 3", ["1", "2", "3"]),
        ("5-3 = 2", ["5", "3", "2"]),
        ("from -3 to \u22124", ["-3", "-4"]),
        ("it costs $-3, no, -$4.50", ["-3", "-4.5"]),
        ("45% or 0.45", ["0.45", "0.45"]),
        ("1 1/2 cups", ["1.5"]),
        ("-1 1/2", ["-1.5"]),
        ("1/0", []),
        ("1.5e-3 and 2E2", ["0.0015", "200"]),
        (".5", ["0.5"]),
        ("version 1.2.3", ["1.2", "3"]),
        ("no number", []),
        ("1e999999999", ["1", "999999999"]),
        ("7" * 41, []),
    ],
)
def test_by_hand(text, values):
    assert find_numbers(text, POINT) == [Fraction(value) for value in values]


def test_percent_may_stand_for_itself():
    assert find_numbers("45 %", PLAIN) == [45]


def test_the_larger_tolerance_holds():
    near = NumericScoring(kind="numeric", tolerance_absolute=0.5, tolerance_relative=0.01)
    assert is_close(Fraction(101), Fraction(100), near)
    assert not is_close(Fraction("101.01"), Fraction(100), near)
    assert is_close(Fraction("1.5"), Fraction(1), near)
    assert is_close(Fraction("-101"), Fraction(-100), near)
    assert is_close(Fraction("0.3"), Fraction("0.1") + Fraction("0.2"), POINT)
