"""Rows of the files that an audit reads: comma or tab separated, JSON lines, or plain lines.

Each fault is one error that names the file, the row and the column, so that a person can look at the place.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birdbone.evaluate.errors import BadItemsError, MissingItemsError


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """One row with what an error about it has to say."""

    file: str
    """Name of the file."""
    number: int
    """From 1; a line of names is not counted."""
    values: Mapping[str, Any]
    """By column."""

    def text(self, column: str, *, may_be_empty: bool = False) -> str:
        """Return a value that is text, without space around it.

        Raises:
            BadItemsError: it is not there, no text, or empty where that may not be.
        """
        value = self.values.get(column)
        if not isinstance(value, str) or not (value.strip() or may_be_empty):
            raise self.fault(column, "some text was expected")
        return value.strip()

    def choice(self, column: str, known: Iterable[str]) -> str:
        """Return a text that is one of `known`. Raises BadItemsError where it is another."""
        value = self.text(column)
        if value not in (names := sorted(known)):
            raise self.fault(column, f"one of {', '.join(names)} was expected")
        return value

    def fault(self, column: str, expected: str) -> BadItemsError:
        """Return the error that says what was expected in a column of this row, and what is there."""
        found = repr(self.values[column])[:80] if column in self.values else "nothing"
        return BadItemsError(
            f"{self.file}, row {self.number}, column {column}: {expected}; {found} is there.",
            file=self.file,
            row=self.number,
            column=column,
        )


def read_table(path: Path, columns: Sequence[str], *, delimiter: str = ",") -> list[ItemRow]:
    """Return the rows of a table whose first line names its columns.

    Args:
        path: the file, UTF-8.
        columns: those that have to be there.
        delimiter: what divides two values; quotes mean nothing in a table that tabs divide.

    Raises:
        MissingItemsError: there is no such file.
        BadItemsError: it is no such table, lacks a column, or a row has too few or too many values.
    """
    text = io.StringIO(read_text(path))
    if delimiter == "\t":
        reader = csv.DictReader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.DictReader(text, delimiter=delimiter)
    try:
        names = list(reader.fieldnames or ())
        _require_columns(path, names, columns)
        rows = [ItemRow(file=path.name, number=number, values=values) for number, values in enumerate(reader, start=1)]
    except csv.Error as error:
        raise BadItemsError(f"{path.name} is no table: {error}.", file=path.name) from error
    for row in rows:
        missing = [name for name in names if row.values[name] is None]
        if missing or None in row.values:
            raise row.fault(missing[0] if missing else names[-1], f"{len(names)} values were expected in the row")
    return _some(path, rows)


def read_json_lines(path: Path, columns: Sequence[str]) -> list[ItemRow]:
    """Return the objects of a file of JSON lines, plain or `.xz`.

    Raises:
        MissingItemsError: there is no such file.
        BadItemsError: a line is no JSON object or lacks a column.
    """
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            rows.append(_json_row(path, number, line))
            _require_columns(path, rows[-1].values, columns, row=number)
    return _some(path, rows)


def read_lines(path: Path) -> list[ItemRow]:
    """Return the lines that are not empty, each in a column `line`. Raises what `read_table` does."""
    lines = (line.strip() for line in read_text(path).splitlines())
    rows = [ItemRow(file=path.name, number=number, values={"line": line}) for number, line in enumerate(lines, start=1)]
    return _some(path, [row for row in rows if row.values["line"]])


def read_text(path: Path) -> str:
    """Return the text of a file, unpacked if its name ends with `.xz`. Raises what `read_table` does."""
    try:
        content = path.read_bytes()
        return (lzma.decompress(content) if path.suffix == ".xz" else content).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise MissingItemsError(f"There is no file {path.name} in {path.parent}.", file=path.name) from error
    except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise BadItemsError(f"{path.name} cannot be read: {error}.", file=path.name) from error


def _json_row(path: Path, number: int, line: str) -> ItemRow:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise BadItemsError(f"{path.name}, row {number}: no JSON, {error}.", file=path.name, row=number) from error
    if not isinstance(values, dict):
        raise BadItemsError(f"{path.name}, row {number}: no JSON object.", file=path.name, row=number)
    return ItemRow(file=path.name, number=number, values=values)


def _require_columns(path: Path, found: Iterable[str], columns: Sequence[str], *, row: int | None = None) -> None:
    missing = [column for column in columns if column not in set(found)]
    if missing:
        where = path.name if row is None else f"{path.name}, row {row}"
        raise BadItemsError(
            f"{where} has no column {missing[0]}; it has {', '.join(map(str, found)) or 'none'}.",
            file=path.name,
            row=row,
            column=missing[0],
        )


def _some(path: Path, rows: list[ItemRow]) -> list[ItemRow]:
    if not rows:
        raise BadItemsError(f"{path.name} holds no rows.", file=path.name)
    return rows
