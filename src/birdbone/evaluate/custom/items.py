"""Items of a task: rows with their prompts filled, their right answers read and their examples chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from birdbone.core.digest import digest_json
from birdbone.evaluate.custom.choices import find_right, letter_of, lettered, read_choices
from birdbone.evaluate.custom.config import TaskSettings
from birdbone.evaluate.custom.exact import normalise
from birdbone.evaluate.custom.numeric import find_numbers
from birdbone.evaluate.custom.rows import Row
from birdbone.evaluate.custom.scoring import (
    ExactScoring,
    JudgedScoring,
    MultipleChoiceScoring,
    NumericScoring,
    RegexScoring,
)
from birdbone.evaluate.custom.templates import fill, places_of
from birdbone.evaluate.errors import BadItemsError, BadTaskError

CHOICES_PLACE = "choices"
"""The place in a prompt of multiple choice where all choices are listed."""

_RUBRIC_PLACES = frozenset({"prompt", "response", "first", "second"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question with its right answer."""

    where: str
    """File and row, for people."""
    prompt: str
    """The filled template, without examples."""
    answers: tuple[str, ...]
    """Texts that are right; of multiple choice, the right one as it is asked for. Empty where none is known."""
    choices: tuple[str, ...] = ()
    """Of multiple choice, what is judged."""
    right: int = -1
    """Place of the right choice."""
    values: Mapping[str, str]
    """Columns that a rubric shows, by name."""
    examples: tuple[tuple[str, str], ...] = ()
    """Prompt and answer of each example."""

    @property
    def id(self) -> str:
        """Digest of what is asked and what is right: the same item has the same one in every file."""
        asked = {"prompt": self.prompt, "choices": self.choices, "answers": self.answers, "right": self.right}
        return digest_json({**asked, "values": dict(self.values), "examples": self.examples})


def make_items(rows: Sequence[Row], settings: TaskSettings, example_rows: Sequence[Row]) -> tuple[Item, ...]:
    """Return the item of each row, in their order.

    Args:
        rows: of the task's items.
        settings: of the task.
        example_rows: rows of the file of examples; empty takes the first of `rows`.

    Raises:
        BadItemsError: a row lacks a column, its answer cannot be right, or it asks the same as one before.
        BadTaskError: there are too few rows for the examples.
    """
    items = [_item(row, settings) for row in rows]
    _require_different(items)
    if settings.fewshot is None:
        return tuple(items)
    pool = [_item(row, settings) for row in example_rows] if example_rows else items
    count = settings.fewshot.count
    return tuple(replace(item, examples=_examples(item, pool, count, settings.name)) for item in items)


def _item(row: Row, settings: TaskSettings) -> Item:
    scoring = settings.scoring
    choices: tuple[str, ...] = ()
    if isinstance(scoring, MultipleChoiceScoring):
        choices = read_choices(row, scoring)
    prompt = _filled(row, settings.prompt, {CHOICES_PLACE: lettered(choices)} if choices else {})
    if not prompt.strip():
        raise BadItemsError(f"{row.where} makes an empty prompt.")
    match scoring:
        case MultipleChoiceScoring():
            right = find_right(row, settings.answer, choices, scoring)
            if scoring.asks == "letter":
                choices = tuple(letter_of(place) for place in range(len(choices)))
            return Item(
                where=row.where, prompt=prompt, answers=(choices[right],), choices=choices, right=right, values={}
            )
        case JudgedScoring():
            return _judged_item(row, settings, scoring, prompt)
        case RegexScoring(compares=False) if settings.fewshot is None:
            return Item(where=row.where, prompt=prompt, answers=(), values={})
        case _:
            answers = _answers(row, settings.answer)
            _check_answers(row, settings, answers)
            return Item(where=row.where, prompt=prompt, answers=answers, values={})


def _judged_item(row: Row, settings: TaskSettings, scoring: JudgedScoring, prompt: str) -> Item:
    names = {name for name in places_of(scoring.rubric or "") if name not in _RUBRIC_PLACES}
    if scoring.reference is not None:
        names.add(scoring.reference)
    answers = _answers(row, settings.answer) if settings.fewshot is not None else ()
    return Item(
        where=row.where, prompt=prompt, answers=answers, values={name: row.text(name) for name in sorted(names)}
    )


def _filled(row: Row, template: str, made: Mapping[str, str]) -> str:
    return fill(template, lambda name: made[name] if name in made else row.text(name))


def _answers(row: Row, column: str) -> tuple[str, ...]:
    value = row.value(column)
    listed = value if isinstance(value, list) else [value]
    answers = tuple(row.as_text(each, column) for each in listed if each is not None)
    if not answers or not all(answer.strip() for answer in answers):
        raise row.error(f"has an empty answer in column '{column}'.", column)
    return answers


def _check_answers(row: Row, settings: TaskSettings, answers: Sequence[str]) -> None:
    """Refuse a right answer that no model could give, or that an empty one would be."""
    match settings.scoring:
        case ExactScoring(ignores=ignores) | RegexScoring(ignores=ignores, compares=True):
            for answer in answers:
                if not normalise(answer, ignores):
                    raise row.error(f"has the answer {answer!r}, of which nothing counts.", settings.answer)
        case NumericScoring() as scoring:
            for answer in answers:
                if len(find_numbers(answer, scoring)) != 1:
                    raise row.error(f"has the answer {answer!r}, where one number was expected.", settings.answer)
        case _:
            pass


def _require_different(items: Sequence[Item]) -> None:
    seen: dict[tuple[str, tuple[str, ...], tuple[str, ...]], str] = {}
    for item in items:
        asked = (item.prompt, item.choices, tuple(item.values.values()))
        if asked in seen:
            raise BadItemsError(
                f"{item.where} asks the same as {seen[asked]}.",
                hint="Leave one of them out: an item that counts twice makes intervals too narrow.",
            )
        seen[asked] = item.where


def _examples(item: Item, pool: Sequence[Item], count: int, name: str) -> tuple[tuple[str, str], ...]:
    """Return the first of the pool that do not ask what the item asks."""
    others = [other for other in pool if other.prompt != item.prompt][:count]
    if len(others) < count:
        raise BadTaskError(f"{name} wants {count} examples for {item.where}; there are {len(others)} other rows.")
    return tuple((other.prompt, other.answers[0]) for other in others)
