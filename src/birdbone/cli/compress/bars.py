"""What a person sees while a model is worked on: a bar for each part of the work on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from birdbone.cli.output import talk_console
from birdbone.cli.progress import LiveScreen

Told = Callable[[str, int, int], None]
"""Is told which part of the work is on, how much of it is done, of how much."""


@contextmanager
def part_bar() -> Iterator[Told]:
    """Give what shows how far each part of the work is; it is silent where nobody watches."""
    console = talk_console()
    if not console.is_terminal:
        yield lambda _part, _done, _total: None
        return
    screen = LiveScreen(console)
    try:
        yield lambda part, done, total: screen.show("", part, done, total)
    finally:
        screen.close()


def part_of(told: Told, part: str) -> Callable[[int, int], None]:
    """Return what is told how much of one part is done, of how much."""
    return lambda done, total: told(part, done, total)
