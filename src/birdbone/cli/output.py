"""Where things are printed: data to standard output, talk to standard error, no colour where nobody looks."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_COLUMNS = 160


class PipeConsole(Console):
    """A console that raises when its reader is gone. Rich would point standard output nowhere and end the process."""

    def on_broken_pipe(self) -> None:
        """Raise, so that the caller decides: a run goes on without its talk, a reader ends."""
        raise BrokenPipeError(errno.EPIPE, "nobody reads this any more")


def data_console() -> Console:
    """Return the console of standard output."""
    return console_of(sys.stdout)


def talk_console() -> Console:
    """Return the console of standard error."""
    return console_of(sys.stderr)


def console_of(stream: IO[str]) -> Console:
    """Return the console of a stream: as wide as its terminal, or wide enough that ids are not cut."""
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_COLUMNS
    return PipeConsole(file=stream, width=width, highlight=False)


def num_columns() -> int:
    """Return how many characters fit on a line of standard output."""
    return data_console().width


def talk(text: str) -> None:
    """Say something to the person, on standard error; where nobody listens any more, nothing happens."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def print_line(text: str) -> None:
    """Print one line of data."""
    print(text, flush=True)  # noqa: T201


def print_json(value: Any) -> None:
    """Print `value` as one JSON document; times as ISO 8601."""
    print_line(json.dumps(value, indent=2, ensure_ascii=False, default=_as_json))


def print_json_line(value: Any) -> None:
    """Print `value` as one line of JSON."""
    print_line(json.dumps(value, ensure_ascii=False, default=_as_json))


def print_table(table: Table, *lines: str) -> None:
    """Print a table as data, or say that it is empty; then lines, which are never broken, so that paths stay whole."""
    if table.row_count:
        data_console().print(table)
    else:
        talk("nothing yet")
    for line in lines:
        print_line(line)


def mark(health: str) -> Text:
    """Return a word on health in its colour."""
    return Text(health, style={"ok": "green", "warn": "yellow", "fault": "bold red"}.get(health, ""))


def new_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, title: str = "") -> Table:
    """Return a table. Texts are taken as they are: brackets in them mean nothing."""
    table = Table(box=box.SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table


def _as_json(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
