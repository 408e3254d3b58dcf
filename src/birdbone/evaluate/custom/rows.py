"""Rows of a user's items from JSON lines or CSV, strictly read: what is not clean is one error with its row.

A row's number is that of an editor or a spreadsheet: the header of a CSV file is row 1. A byte-order mark and Windows
line ends, as spreadsheets write them, are taken away: a model would see them inside a text, and the version of a task
is the digest of what is asked, not of the file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birdbone.evaluate.errors import BadItemsError, BadTaskError

SUFFIXES = (".jsonl", ".csv")
"""What can be read."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One item as it stands in its file, or as it was made."""

    source: str
    """Name of the file, or what made it."""
    number: int
    """Which row."""
    values: Mapping[str, Any]
    """By column."""

    @property
    def where(self) -> str:
        """The row, for people."""
        return f"{self.source}, row {self.number}"

    def value(self, column: str) -> Any:
        """Return what stands in a column.

        Raises:
            BadItemsError: the row has no such column, or nothing in it.
        """
        if column not in self.values:
            found = ", ".join(sorted(self.values)) or "none"
            raise self.error(f"has no column '{column}'; columns found: {found}.", column)
        if self.values[column] is None:
            raise self.error(f"has nothing in column '{column}'.", column)
        return self.values[column]

    def text(self, column: str) -> str:
        """Return a column as text: numbers as JSON writes them.

        Raises:
            BadItemsError: there is none, it is a list or an object, or no Unicode.
        """
        return self.as_text(self.value(column), column)

    def as_text(self, value: Any, column: str) -> str:
        """Return a value of a column as text. Raises what `text` does."""
        if isinstance(value, list | dict):
            raise self.error(f"has a {type(value).__name__} in column '{column}', where a text was expected.", column)
        text = value if isinstance(value, str) else json.dumps(value)
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self.error(f"has half of a character (a lone surrogate) in column '{column}'.", column)
        return text

    def error(self, problem: str, column: str) -> BadItemsError:
        """Return the error that says what is wrong in a column."""
        return BadItemsError(f"{self.where} {problem}", path=self.source, row=self.number, column=column)


def read_rows(path: Path) -> tuple[Row, ...]:
    """Return the rows of a file, in its order; blank lines are left out.

    Raises:
        BadTaskError: there is no such file, or its suffix is not one of `SUFFIXES`.
        BadItemsError: it is empty, is not plain UTF-8, or a row cannot be read (names it).
    """
    if path.suffix.lower() not in SUFFIXES:
        raise BadTaskError(f"{path.name} ends in '{path.suffix}'; items are read from {' and '.join(SUFFIXES)}.")
    text = read_plain_text(path)
    rows = tuple(_csv_rows(text, path.name) if path.suffix.lower() == ".csv" else _json_rows(text, path.name))
    if not rows:
        raise BadItemsError(f"{path.name} holds no items.", path=str(path), row=1)
    return rows


def read_plain_text(path: Path) -> str:
    r"""Return the text of a UTF-8 file without its byte-order mark, its lines ended by `\n`.

    Raises:
        BadTaskError: there is no such file, or it cannot be opened.
        BadItemsError: it is written otherwise (names the row).
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise BadTaskError(f"{path.name} cannot be read: {error}", path=str(path)) from error
    content = content.removeprefix(_BYTE_ORDER_MARK).replace(b"\r\n", b"\n")
    if (place := content.find(b"\r")) >= 0:
        raise _unclean(
            path, _row_at(content, place), "holds a carriage return.", hint="End lines by \\n, or by \\r\\n throughout."
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unclean(
            path,
            _row_at(content, error.start),
            f"is not UTF-8: byte 0x{content[error.start]:02x} does not fit.",
            hint="Convert it, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW",
        ) from error


def _unclean(path: Path, row: int, problem: str, *, hint: str) -> BadItemsError:
    return BadItemsError(f"{path.name}, row {row} {problem}", hint=hint, path=str(path), row=row)


def _row_at(content: bytes, place: int) -> int:
    return content.count(b"\n", 0, place) + 1


def _json_rows(text: str, name: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line, object_pairs_hook=_once, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise BadItemsError(f"{name}, row {number} is not JSON: {error}.", path=name, row=number) from error
        if not isinstance(values, dict):
            message = f"{name}, row {number} holds a {type(values).__name__}, not an object with columns."
            raise BadItemsError(message, path=name, row=number)
        yield Row(source=name, number=number, values=values)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a column stands twice in it")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _csv_rows(text: str, name: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if header is None:
                header = _header(cells, name)
            elif cells:
                yield Row(source=name, number=number, values=_cells(header, cells, name, number))
    except csv.Error as error:
        raise BadItemsError(f"{name}, row {number + 1} is not CSV: {error}.", path=name, row=number + 1) from error


def _header(cells: list[str], name: str) -> list[str]:
    if not all(cells) or len(set(cells)) < len(cells):
        problem = "names a column twice" if all(cells) else "has a column without a name"
        raise BadItemsError(f"{name}, row 1 {problem}: {', '.join(cells)}.", path=name, row=1)
    return cells


def _cells(header: list[str], cells: list[str], name: str, number: int) -> dict[str, str]:
    if len(cells) != len(header):
        message = f"{name}, row {number} has {len(cells)} cells; the header names {len(header)} columns."
        raise BadItemsError(message, path=name, row=number)
    return dict(zip(header, cells, strict=True))
