"""Regular expressions of a user, searched under a limit: a pattern may need longer than anyone lives for one text."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from birdbone.evaluate.errors import SlowPatternError

Groups = tuple[str | None, ...]
"""The whole match, then each group."""

_CHILD = Path(__file__).with_name("pattern_child.py")
_WALL_FACTOR = 20  # processor time is what counts; the clock only ends what waits for ever


def search_all(
    pattern: str, texts: Sequence[str], *, take: Literal["first", "last"], cpu_seconds: int
) -> list[Groups | None]:
    """Return the match in each text, or None, searched by Python's `re` in a process of its own.

    Args:
        pattern: a regular expression that compiles.
        texts: where to search.
        take: which of several matches.
        cpu_seconds: of processor time for all texts together, so that a busy machine changes nothing.

    Raises:
        SlowPatternError: the time was spent, or the memory (names the text at which).
    """
    asked = {"pattern": pattern, "texts": list(texts), "take": take, "cpu_seconds": cpu_seconds}
    told = _run(json.dumps(asked).encode(), wall_seconds=_WALL_FACTOR * cpu_seconds).splitlines()
    if len(told) < len(texts):
        raise SlowPatternError(
            f"{pattern!r} was not done with answer {len(told)} after {cpu_seconds} seconds of processor time.",
            pattern=pattern,
            item=len(told),
        )
    return [None if groups is None else tuple(groups) for groups in map(json.loads, told)]


def _run(request: bytes, *, wall_seconds: float) -> bytes:
    """Return what the child wrote before its end, whatever that was."""
    command = [sys.executable, "-I", "-S", str(_CHILD)]
    try:
        done = subprocess.run(command, input=request, capture_output=True, timeout=wall_seconds, check=False)
    except subprocess.TimeoutExpired as ended:
        return _whole_lines(ended.stdout or b"")
    return _whole_lines(done.stdout)


def _whole_lines(written: bytes) -> bytes:
    """Return all but a line that was being written at the end."""
    return written[: written.rfind(b"\n") + 1]
