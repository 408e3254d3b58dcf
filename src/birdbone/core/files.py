"""Files that are whole or absent: written beside the target, flushed to the disk, then renamed over it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from birdbone.core.errors import DiskFullError


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _read_umask()  # mkstemp makes files that only their owner can read; read once, since asking changes it


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file; on leaving without an error it is synced and renamed to `path`, which then is durable.

    Raises:
        DiskFullError: no room on the disk; `path` keeps its old content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(handle, 0o666 & ~_UMASK)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise_if_disk_full(error, path)
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON with sorted keys and a last newline."""
    with write_atomically(path) as stream:
        stream.write((json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


def raise_if_disk_full(error: OSError, path: Path) -> None:
    """Turn ENOSPC and EDQUOT into a `DiskFullError`; do nothing for another error."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise DiskFullError(f"No space left on the disk while writing {path.name}.", path=str(path)) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
