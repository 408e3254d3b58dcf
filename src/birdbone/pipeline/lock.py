"""The lock of a run: whoever works on it, or removes it, holds it."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from birdbone.pipeline.errors import RunBusyError

_LOCK_FILE = "lock"


@contextlib.contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Hold the lock file in a run's folder; the kernel frees it when the process dies, however it dies.

    Raises:
        RunBusyError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunBusyError("Another process is at work on this run.", run_id=folder.name) from error
        yield


def require_idle(folder: Path) -> None:
    """Make sure that nobody holds the lock of a run, without making a folder or a file.

    Raises:
        RunBusyError: another process holds it.
    """
    if (folder / _LOCK_FILE).exists():
        with hold_run(folder):
            pass
