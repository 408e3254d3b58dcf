"""What a person sees while a model is asked: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from birdbone.cli.output import talk_console

Tell = Callable[[int, int], None]
"""Is told how many are done, of how many."""


@contextmanager
def question_bar(name: str) -> Iterator[Tell | None]:
    """Give what shows on a terminal how many questions are answered; nothing elsewhere."""
    console = talk_console()
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn())
    with Bar(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        tell: Tell = lambda done, total: bar.update(task, completed=done, total=total)  # noqa: E731
        yield tell
