"""Settings of items that are made: by a grammar, or by changing given ones. Free of torch.

A grammar's templates have places. `{name}` is a number, a formula or a word of a list; `{animal1}` and `{animal2}` are
two different words of the list `animal`, and `{animal1.many}` is a form of the first. A word may hold places itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from birdbone.core import Settings
from birdbone.evaluate.custom.arithmetic import MAX_MAGNITUDE, names_in
from birdbone.evaluate.custom.templates import places_of

Name = Annotated[str, StringConstraints(pattern=r"^[a-z_]+$")]
"""Of a list, a number or a formula: small letters and `_`, as digits tell two words of one list apart."""

Change = Literal["typos", "case", "white_space", "paraphrase", "long_input"]
"""What may be done to a text."""

CHANGES: tuple[Change, ...] = get_args(Change)
"""All of them."""

PLACE = re.compile(r"([a-z_]+)(\d*)(?:\.([a-z_]+))?")
"""A place of a grammar: a name, which of several words, a form."""


class NumberRange(Settings):
    """Whole numbers that are as likely as each other."""

    low: int = Field(ge=-MAX_MAGNITUDE, le=MAX_MAGNITUDE)
    """The smallest."""
    high: int = Field(ge=-MAX_MAGNITUDE, le=MAX_MAGNITUDE)
    """The largest, itself included."""
    step: int = Field(default=1, ge=1)
    """From one to the next, beginning with `low`."""

    @model_validator(mode="after")
    def _holds_a_number(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        return self


class Grammar(Settings):
    """Items from lists of words, nested templates, and arithmetic."""

    kind: Literal["grammar"]
    """A grammar."""
    seed: int = Field(default=0, ge=0)
    """The same seed gives the same items."""
    count: int = Field(ge=1, le=100_000)
    """How many different items. A grammar that does not hold so many is an error."""
    lists: dict[Name, tuple[str | dict[Name, str], ...]] = Field(default={})
    """Words by the name of their list: each a text, or several forms of it by name. A text may hold places."""
    numbers: dict[Name, NumberRange] = Field(default={})
    """Numbers that are drawn."""
    formulas: dict[Name, str] = Field(default={})
    """Numbers that are worked out from those, and from formulas above."""
    where: tuple[str, ...] = ()
    """Conditions on numbers: a draw that does not meet all is drawn again."""
    columns: dict[str, str | tuple[str, ...]] = Field(min_length=1)
    """What a row of items holds: a template, or a list of them, for each column."""
    balance: Literal["place", "answer", "none"] = "none"
    """Of multiple choice: the right choice stands in each place, or each choice is right, as often as the others."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = [*self.lists, *self.numbers, *self.formulas]
        if len(set(names)) < len(names):
            raise ValueError("a list, a number and a formula need different names")
        self._check_words()
        self._check_formulas()
        for template in _texts_of(self.columns.values()):
            self._check_places(template)
        return self

    def _check_words(self) -> None:
        needs: dict[str, set[str]] = {}
        for name, words in self.lists.items():
            if not words:
                raise ValueError(f"the list {name} is empty")
            if any(word in words[:place] for place, word in enumerate(words)):
                raise ValueError(f"the list {name} holds a word twice")
            needs[name] = {used for text in _texts_of(words) for used in self._check_places(text)}
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            raise ValueError(f"lists hold each other in a circle: {' > '.join(error.args[1])}") from error

    def _check_formulas(self) -> None:
        known = set(self.numbers)
        for name, formula in self.formulas.items():
            _require_known(formula, known)
            known.add(name)
        for condition in self.where:
            _require_known(condition, known)

    def _check_places(self, template: str) -> set[str]:
        """Return the lists that a template draws from; refuse a place that stands for nothing."""
        found = set()
        for place in places_of(template):
            parts = PLACE.fullmatch(place)
            if parts is None or (parts[1] not in self.lists and place not in {*self.numbers, *self.formulas}):
                raise ValueError(f"{{{place}}} is no list, number or formula")
            if parts[1] in self.lists:
                found.add(parts[1])
                self._check_form(parts[1], parts[3], place)
        return found

    def _check_form(self, name: str, form: str | None, place: str) -> None:
        for word in self.lists[name]:
            if isinstance(word, str) != (form is None) or (isinstance(word, dict) and form not in word):
                raise ValueError(f"{{{place}}}: the word {word!r} has no such form")


class MutatedItems(Settings):
    """Given items with a text changed, so that its meaning stays."""

    kind: Literal["mutations"]
    """Changes of given items."""
    seed: int = Field(default=0, ge=0)
    """The same seed gives the same items."""
    items: str = Field(min_length=1)
    """File of the given items, .jsonl or .csv, relative to the task's file."""
    column: str = Field(default="prompt", min_length=1)
    """The column whose text is changed."""
    changes: tuple[Change, ...] = Field(default=CHANGES, min_length=1)
    """What is done, each by itself to every item; where it changes nothing there is no item."""
    keeps_given: bool = False
    """Whether the given items are asked as well."""


def _texts_of(values: Iterator[object] | object) -> Iterator[str]:
    """Yield every text in nested lists and mappings."""
    if isinstance(values, str):
        yield values
        return
    parts = values.values() if isinstance(values, Mapping) else values
    for value in parts:  # type: ignore[attr-defined]
        yield from _texts_of(value)


def _require_known(formula: str, known: set[str]) -> None:
    unknown = names_in(formula) - known
    if unknown:
        raise ValueError(f"{formula!r} names {', '.join(sorted(unknown))}, which is no number or formula above it")
