"""Documents out of files: .txt (one document a file), .jsonl and .parquet (one document a record)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from birdbone.data.errors import BadRecordError, MissingFieldError, NotUtf8Error, UnknownFormatError

SUFFIXES = (".txt", ".jsonl", ".parquet")
"""Suffixes that can be read."""


def read_documents(path: Path, *, text_field: str = "text") -> Iterator[str]:
    """Yield the documents of one file, in its order; empty ones are left out.

    Raises:
        UnknownFormatError: the suffix is not one of `SUFFIXES`.
        NotUtf8Error: a text file is not UTF-8 (names the byte).
        BadRecordError: a line is not a JSON object (names the line), or the Parquet file is broken.
        MissingFieldError: a record has no text under `text_field` (names the fields found).
    """
    match path.suffix.lower():
        case ".txt":
            documents = _read_text(path)
        case ".jsonl":
            documents = _read_jsonl(path, text_field)
        case ".parquet":
            documents = _read_parquet(path, text_field)
        case other:
            raise UnknownFormatError(f"{path.name} ends in '{other}', which is not read.", path=str(path))
    return (document for document in documents if document.strip())


def _read_text(path: Path) -> Iterator[str]:
    try:
        yield path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotUtf8Error(f"{path.name} is not UTF-8: byte {error.start} does not fit.", path=str(path)) from error


def _read_jsonl(path: Path, text_field: str) -> Iterator[str]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _text_of(_parse_line(line, path, number), text_field, f"{path.name}, line {number}")


def _parse_line(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NotUtf8Error(f"{path.name}, line {number} is not UTF-8.", path=str(path), line=number) from error
    except ValueError as error:
        raise BadRecordError(
            f"{path.name}, line {number} is not JSON: {error}.", path=str(path), line=number
        ) from error
    if not isinstance(record, dict):
        message = f"{path.name}, line {number} holds a {type(record).__name__}, not an object with fields."
        raise BadRecordError(message, path=str(path), line=number)
    return record


def _text_of(record: dict[str, Any], text_field: str, where: str) -> str:
    text = record.get(text_field)
    if isinstance(text, str):
        return text
    problem = f"holds no text in '{text_field}'" if text_field in record else f"has no field '{text_field}'"
    raise MissingFieldError(f"{where} {problem}; fields found: {_listed(record)}.", found=sorted(record))


def _read_parquet(path: Path, text_field: str) -> Iterator[str]:
    try:
        with pq.ParquetFile(path) as table:
            _check_column(table.schema_arrow, text_field, path)
            for batch in table.iter_batches(batch_size=1024, columns=[text_field]):
                yield from (text for text in batch.column(0).to_pylist() if text is not None)
    except (pa.ArrowException, OSError) as error:
        raise BadRecordError(f"{path.name} cannot be read as Parquet: {error}", path=str(path)) from error


def _check_column(schema: pa.Schema, text_field: str, path: Path) -> None:
    fields = {field.name: field.type for field in schema}
    if text_field not in fields:
        message = f"{path.name} has no field '{text_field}'; fields found: {_listed(fields)}."
        raise MissingFieldError(message, found=sorted(fields))
    if not (pa.types.is_string(fields[text_field]) or pa.types.is_large_string(fields[text_field])):
        message = f"The field '{text_field}' of {path.name} holds {fields[text_field]}, not text."
        raise MissingFieldError(message, found=sorted(fields))


def _listed(fields: dict[str, Any]) -> str:
    return ", ".join(sorted(fields)) or "none"
