"""Numbers in a text, exactly as fractions: thousands, decimals, powers of ten, fractions and percent."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache

from birdbone.evaluate.custom.scoring import NumericScoring

_MAX_DIGITS = 40  # longer ones are no answers, and slow to compute with

# A sign belongs to a number where no word, number or bracket ends before it: "5-3" holds 5 and 3.
_PATTERN = r"""
    (?P<sign>(?<![\w)\]%.])[-\u2212+]\s?)?  (?:[$€£]\s?)?
    (?:
        (?:(?P<whole>\d+)[ ])? (?P<top>\d+) \s?/\s? (?P<bottom>\d+)
      | (?: (?P<digits> \d{1,3}(?:THOUSANDS\d{3})+(?!\d) | \d+ ) (?:POINT(?P<part>\d+))? | (?<!\d)POINT(?P<bare>\d+) )
        (?P<power>[eE][-+]?\d{1,2}(?!\d))?
    )
    (?P<percent>\s?%)?
"""


def find_numbers(text: str, settings: NumericScoring) -> list[Fraction]:
    """Return the numbers in a text, in its order; what has more digits than forty, or divides by zero, is none."""
    found = (_value_of(match, settings) for match in _pattern(settings.decimal).finditer(text))
    return [value for value in found if value is not None]


def is_close(value: Fraction, right: Fraction, settings: NumericScoring) -> bool:
    """Return whether a number is the right one, within the tolerance."""
    absolute, relative = Fraction(str(settings.tolerance_absolute)), Fraction(str(settings.tolerance_relative))
    return abs(value - right) <= max(absolute, relative * abs(right))


@cache
def _pattern(decimal: str) -> re.Pattern[str]:
    thousands, point = (",", r"\.") if decimal == "point" else (r"\.", ",")
    return re.compile(_PATTERN.replace("THOUSANDS", thousands).replace("POINT", point), flags=re.VERBOSE)


def _value_of(match: re.Match[str], settings: NumericScoring) -> Fraction | None:
    if sum(map(str.isdigit, match[0])) > _MAX_DIGITS:
        return None
    value = _fraction_of(match) if match["top"] else _decimal_of(match)
    if value is None:
        return None
    if match["percent"] and settings.percent == "hundredth":
        value /= 100
    return -value if (match["sign"] or "").strip() in {"-", "\u2212"} else value


def _fraction_of(match: re.Match[str]) -> Fraction | None:
    bottom = int(match["bottom"])
    return int(match["whole"] or 0) + Fraction(int(match["top"]), bottom) if bottom else None


def _decimal_of(match: re.Match[str]) -> Fraction:
    digits = re.sub(r"\D", "", match["digits"] or "0")
    return Fraction(f"{digits}.{match['part'] or match['bare'] or '0'}{match['power'] or ''}")
