"""A folder that appears under its name only when all of it is there."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from birdbone.vault.errors import DestinationNotEmptyError
from birdbone.vault.folder import explain_write_errors


@contextlib.contextmanager
def staged_folder(destination: Path) -> Iterator[Path]:
    """Give a new folder beside `destination`; on leaving without an error it is renamed to it, else removed.

    It is not flushed to the disk: what is exported can be exported again.

    Raises:
        DestinationNotEmptyError: something is there.
        DiskFullError, ReadOnlyVaultError: the place cannot be written.
    """
    if destination.is_symlink() or (destination.exists() and (not destination.is_dir() or any(destination.iterdir()))):
        raise DestinationNotEmptyError(
            f"{destination} is there already.",
            hint="Export into a folder that does not exist yet, or into an empty one.",
            path=str(destination),
        )
    staged = destination.parent / f".{destination.name}.{secrets.token_hex(4)}"
    with explain_write_errors(destination):
        staged.mkdir(parents=True)
        try:
            yield staged
            staged.rename(destination)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
