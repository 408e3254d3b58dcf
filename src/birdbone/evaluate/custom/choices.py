"""The choices of a row and which of them is right, read from the columns that the task names."""

from __future__ import annotations

import json
import string
from typing import Any

from birdbone.evaluate.custom.rows import Row
from birdbone.evaluate.custom.scoring import MultipleChoiceScoring

_SEPARATOR = "|"


def read_choices(row: Row, scoring: MultipleChoiceScoring) -> tuple[str, ...]:
    """Return the choices of a row.

    Raises:
        BadItemsError: a column is missing, there are fewer than two, or one is empty or stands twice.
    """
    names = scoring.columns
    column = names[0]
    if len(names) == 1:
        choices = [row.as_text(value, column).strip() for value in _listed(row, column)]
    else:
        choices = [row.text(name).strip() for name in names]
    if len(choices) < 2:
        raise row.error(
            f"has {len(choices)} choice in column '{column}'; a JSON list, or texts parted by '{_SEPARATOR}', "
            "with two or more was expected.",
            column,
        )
    if not all(choices):
        raise row.error(f"has an empty choice in column '{column}'.", column)
    if len(set(choices)) < len(choices):
        raise row.error(f"has a choice twice in column '{column}'.", column)
    if len(choices) > len(string.ascii_uppercase):
        raise row.error(f"has {len(choices)} choices; {len(string.ascii_uppercase)} have letters.", column)
    return tuple(choices)


def find_right(row: Row, column: str, choices: tuple[str, ...], scoring: MultipleChoiceScoring) -> int:
    """Return the place of the right choice, from 0.

    Raises:
        BadItemsError: the answer is none of the choices, or `auto` could read it in two ways.
    """
    answer = row.text(column).strip()
    readings = {
        "text": choices.index(answer) if answer in choices else None,
        "letter": _place_of_letter(answer, len(choices)),
        "index": _place_of_number(answer, 0, len(choices)),
        "index_from_1": _place_of_number(answer, 1, len(choices)),
    }
    if scoring.answer_as != "auto":
        places = {readings[scoring.answer_as]}
    else:
        places = {readings["text"], readings["letter"], readings["index"]} - {None} or {None}
    if len(places) > 1:
        raise row.error(
            f"has the answer {answer!r}, which may be a choice's text or its place: say `answer_as` in the task.",
            column,
        )
    place = places.pop()
    if place is None:
        how = "" if scoring.answer_as == "auto" else f" as {scoring.answer_as}"
        raise row.error(f"has the answer {answer!r}, which is none of its {len(choices)} choices{how}.", column)
    return place


def letter_of(place: int) -> str:
    """Return the letter of a choice: A for the first."""
    return string.ascii_uppercase[place]


def lettered(choices: tuple[str, ...]) -> str:
    """Return the choices as a prompt lists them, a letter and a line each."""
    return "\n".join(f"{letter_of(place)}. {choice}" for place, choice in enumerate(choices))


def _listed(row: Row, column: str) -> list[Any]:
    value = row.value(column)
    if isinstance(value, list):
        return value
    text = row.text(column).strip()
    if text.startswith("["):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise row.error(f"has no JSON list in column '{column}': {error}.", column) from error
        return value if isinstance(value, list) else [text]
    return text.split(_SEPARATOR)


def _place_of_letter(answer: str, num_choices: int) -> int | None:
    place = string.ascii_uppercase.find(answer.upper().rstrip(".)")) if len(answer.rstrip(".)")) == 1 else -1
    return place if 0 <= place < num_choices else None


def _place_of_number(answer: str, first: int, num_choices: int) -> int | None:
    if not (answer.isascii() and answer.isdigit()):
        return None
    place = int(answer[:4]) - first
    return place if len(answer) < 4 and 0 <= place < num_choices else None
