"""Append-only files of JSON objects, one a line. A crash can tear only the last line, which was never promised.

Part of a JSON object is never JSON, so a last line without its newline is whole if it parses, and torn if it does not.
The next append takes the torn piece away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from birdbone.vault.folder import explain_write_errors, sync_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What a file holds: its whole lines without their newlines, and the torn piece after them, if any."""

    lines: tuple[bytes, ...] = ()
    torn: bytes = b""


def canonical_line(value: Mapping[str, Any]) -> bytes:
    """Return the one ASCII form of an object: sorted keys, no spaces, anything else escaped.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the object on a line, or None if there is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_journal(path: Path, *, offset: int = 0) -> Journal:
    """Return what the file holds from `offset` (the beginning of a line) on; nothing if there is no file."""
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            *lines, rest = stream.read().split(b"\n")
    except FileNotFoundError:
        return Journal()
    if _begins_with_an_object(rest):  # whole, or damaged behind its end: a crash leaves no more than a part of it
        return Journal(lines=(*lines, rest))
    return Journal(lines=tuple(lines), torn=rest)


def _begins_with_an_object(rest: bytes) -> bool:
    try:
        value, _ = json.JSONDecoder().raw_decode(rest.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def append_line(path: Path, line: bytes, *, torn: bytes = b"") -> int:
    """Return the size of the file in bytes, after `line` stands at its end durably. The caller holds the lock.

    Args:
        torn: the torn piece that `read_journal` found; it is taken away first.
    """
    is_fresh = not path.exists()
    with explain_write_errors(path), path.open("a+b") as stream:
        if torn:
            stream.truncate(stream.seek(0, os.SEEK_END) - len(torn))
        newline = b"" if _ends_a_line(stream) else b"\n"
        stream.write(newline + line + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
        size_bytes = os.fstat(stream.fileno()).st_size
    if is_fresh:
        sync_folder(path.parent)
    return size_bytes


def _ends_a_line(stream: BinaryIO) -> bool:
    size_bytes = stream.seek(0, os.SEEK_END)
    if not size_bytes:
        return True
    stream.seek(size_bytes - 1)
    return stream.read(1) == b"\n"
