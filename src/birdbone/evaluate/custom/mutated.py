"""Rows by changing a text of given ones: the changes of `checks.mutations`, which leave the meaning."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from birdbone.evaluate.checks.mutations import MUTATIONS
from birdbone.evaluate.custom.generation import MutatedItems
from birdbone.evaluate.custom.rows import Row


def mutate_rows(given: Sequence[Row], settings: MutatedItems) -> tuple[Row, ...]:
    """Return the changed rows, one for each change that touches the text; the same seed gives the same.

    All other columns stay, so that the right answer does. A text that came before makes no second item.

    Raises:
        BadItemsError: a row has no text in the column.
    """
    found: dict[str, Row] = {}
    for row in _all_of(given, settings):
        kept = {name: value for name, value in row.values.items() if name != settings.column}
        found.setdefault(repr((row.text(settings.column), sorted(kept.items()))), row)
    return tuple(found.values())


def _all_of(given: Sequence[Row], settings: MutatedItems) -> Iterator[Row]:
    if settings.keeps_given:
        yield from given
    for change in settings.changes:
        for number, row in enumerate(given):
            text = row.text(settings.column)
            changed = MUTATIONS[change](text, random.Random(f"{settings.seed}:{change}:{number}"))
            if changed != text:
                values = {**row.values, settings.column: changed}
                yield Row(source=f"{row.source}, {change}", number=row.number, values=values)
