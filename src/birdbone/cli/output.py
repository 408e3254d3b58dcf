"""Where things are printed: data to standard output, talk to standard error, no colour where nobody looks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_COLUMNS = 160  # nobody sees a pipe's width: wide enough that ids are not cut


def data_console() -> Console:
    """Return the console of standard output."""
    return _console(is_talk=False)


def talk_console() -> Console:
    """Return the console of standard error."""
    return _console(is_talk=True)


def num_columns() -> int:
    """Return how many characters fit on a line of standard output."""
    return data_console().width


def talk(text: str) -> None:
    """Say something to the person, on standard error."""
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
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table


def _console(*, is_talk: bool) -> Console:
    stream = sys.stderr if is_talk else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_COLUMNS
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def _as_json(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
