"""Rows made by a grammar: numbers are drawn, formulas worked out, conditions checked, then the templates are filled.

Within one item a place is the same wherever it stands, in a nested template too. A draw without a value (a division
with a remainder, a condition that is not met, two choices alike) is drawn again, and so is an item that came before.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from birdbone.evaluate.custom.arithmetic import NoValueError, calculate, is_met
from birdbone.evaluate.custom.generation import PLACE, Grammar
from birdbone.evaluate.custom.rows import Row
from birdbone.evaluate.custom.templates import fill
from birdbone.evaluate.errors import BadTaskError

_MISSES = 2000
_MISSES_PER_ITEM = 10  # of items that are as likely as each other, the last one is missed once in 20,000 times

Columns = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceColumns:
    """Where choices and the right one stand in a row."""

    choices: tuple[str, ...]
    """One column with a list, or several with a choice each."""
    answer: str
    """Column with the right one as its text."""


def generate_rows(grammar: Grammar, *, name: str, where: ChoiceColumns | None = None) -> tuple[Row, ...]:
    """Return the rows of a grammar, `count` different ones; the same grammar and seed give the same.

    Args:
        grammar: what to make.
        name: of the task, for messages.
        where: the columns of multiple choice; None where the answer is written.

    Raises:
        BadTaskError: the grammar does not hold so many items, or is to be balanced over choices that it lacks.
    """
    draw = random.Random(grammar.seed)
    quota = _Quota(grammar, draw, where, name)
    found: dict[str, Columns] = {}
    num_misses = 0
    while len(found) < grammar.count:
        columns = _draw_columns(grammar, draw, name)
        key = repr(columns)
        if columns is not None and key not in found and quota.takes(columns):
            found[key] = quota.placed(columns)
            num_misses = 0
            continue
        num_misses += 1
        if num_misses > _MISSES + _MISSES_PER_ITEM * len(found):
            raise BadTaskError(
                f"The grammar of {name} gave {len(found)} different items and no other in {num_misses:,} draws; "
                f"{grammar.count} were asked for.",
                hint="Ask for fewer, give longer lists or ranges, or ease the conditions.",
                found=len(found),
            )
    return tuple(Row(source=name, number=at, values=values) for at, values in enumerate(found.values(), start=1))


def _draw_columns(grammar: Grammar, draw: random.Random, name: str) -> Columns | None:
    """Return an item, or None if its numbers have no value or do not meet a condition."""
    try:
        numbers = _numbers(grammar, draw)
    except NoValueError:
        return None
    if numbers is None:
        return None
    one = _Item(grammar=grammar, draw=draw, numbers=numbers, name=name)
    return {column: one.value(template) for column, template in grammar.columns.items()}


def _numbers(grammar: Grammar, draw: random.Random) -> dict[str, int] | None:
    """Return drawn and calculated numbers by name; None if a condition is not met."""
    values = {
        name: draw.randrange(bounds.low, bounds.high + 1, bounds.step) for name, bounds in grammar.numbers.items()
    }
    for name, formula in grammar.formulas.items():
        values[name] = calculate(formula, values)
    return values if all(is_met(condition, values) for condition in grammar.where) else None


@dataclass(slots=True, kw_only=True)
class _Item:
    """One item while it is made: its numbers, and the words chosen so far."""

    grammar: Grammar
    draw: random.Random
    numbers: Mapping[str, int]
    name: str
    chosen: dict[tuple[str, str], int] = field(default_factory=dict)
    """Place of the word in its list, by list and by which of several words."""

    def value(self, template: str | tuple[str, ...]) -> str | list[str]:
        if isinstance(template, str):
            return fill(template, self._place)
        return [fill(text, self._place) for text in template]

    def _place(self, place: str) -> str:
        if place in self.numbers:
            return str(self.numbers[place])
        parts = PLACE.fullmatch(place)
        assert parts is not None, "the grammar's settings were checked"
        word = self.grammar.lists[parts[1]][self._word(parts[1], parts[2])]
        return fill(word if isinstance(word, str) else word[parts[3]], self._place)

    def _word(self, name: str, which: str) -> int:
        if (name, which) not in self.chosen:
            taken = {word for (other, _), word in self.chosen.items() if other == name}
            free = [word for word in range(len(self.grammar.lists[name])) if word not in taken]
            if not free:
                raise BadTaskError(f"{self.name} wants more different words than its list '{name}' holds.", list=name)
            self.chosen[name, which] = self.draw.choice(free)
        return self.chosen[name, which]


class _Quota:
    """Keeps items in balance: by where the right choice stands, or by which choice is right."""

    def __init__(self, grammar: Grammar, draw: random.Random, where: ChoiceColumns | None, name: str) -> None:
        self._balance, self._count = grammar.balance, grammar.count
        self._draw, self._where, self._name = draw, where, name
        self._places: list[int] = []
        self._taken: dict[str, int] = {}

    def takes(self, columns: Columns) -> bool:
        """Return whether this item may be one more; two choices alike make it none."""
        if self._where is None:
            return True
        choices = self._choices(columns)
        if len(set(choices)) < len(choices):
            return False
        if self._balance != "answer":
            return True
        answer = columns[self._where.answer]
        if not self._has_room(answer, len(choices)):
            return False
        self._taken[answer] = self._taken.get(answer, 0) + 1
        return True

    def placed(self, columns: Columns) -> Columns:
        """Return the item with its right choice in the place whose turn it is."""
        if self._where is None or self._balance != "place":
            return columns
        choices = self._choices(columns)
        others = [choice for choice in choices if choice != columns[self._where.answer]]
        place = self._next_place(len(choices))
        ordered = [*others[:place], columns[self._where.answer], *others[place:]]
        names = self._where.choices
        return columns | ({names[0]: ordered} if len(names) == 1 else dict(zip(names, ordered, strict=True)))

    def _choices(self, columns: Columns) -> list[str]:
        assert self._where is not None, "only asked of multiple choice"
        lacking = [name for name in (*self._where.choices, self._where.answer) if name not in columns]
        if lacking:
            raise BadTaskError(f"The grammar of {self._name} makes no column '{lacking[0]}'.", column=lacking[0])
        names = self._where.choices
        choices = columns[names[0]] if len(names) == 1 else [columns[name] for name in names]
        if self._balance != "none" and (isinstance(choices, str) or columns[self._where.answer] not in choices):
            raise BadTaskError(
                f"{self._name} is to be balanced, but the answer {columns[self._where.answer]!r} is not in the list of "
                f"choices {choices!r}.",
                hint="Give the choices as a list of templates, and the answer as the text of one.",
            )
        return [choices] if isinstance(choices, str) else list(choices)

    def _next_place(self, num_choices: int) -> int:
        if not self._places:
            self._places = self._draw.sample(range(num_choices), num_choices)
        return self._places.pop()

    def _has_room(self, answer: str, num_choices: int) -> bool:
        """Return whether the answer may be right once more: none more than once as often as another, at the end."""
        each, rest = divmod(self._count, num_choices)
        taken = self._taken.get(answer, 0)
        num_ahead = sum(count > each for count in self._taken.values())
        return taken < each or (taken == each and num_ahead < rest)
