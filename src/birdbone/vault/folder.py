"""The store on disk: its folders, its lock, and how a failed write is explained.

```text
objects/
├── format.json       generation of this layout
├── packs/…           bytes of tensors and files, many to a pack
├── artefacts/ab/…    manifests (JSON), named by the BLAKE3 of their bytes
├── versions/ab/…     commits (JSON), named likewise
├── staging/          packs being written; whatever a crash leaves here is nobody's
└── set-aside/        corrupt objects that `verify` was told to move out of the way
refs/
├── heads/ tags/      one file a ref, holding a version id
├── remotes/          where the branches of remotes were last seen, likewise
├── HEAD              `ref: refs/heads/main`
├── reflog.jsonl      every move of every ref, append-only, each line chained to the one before
├── reflog-tip.json   where the chain ends
├── settings.json     protected refs and permissions
├── notes/            texts on versions
├── bisect.json       a bisection under way
└── lock              held while a ref moves and while garbage is collected
```

Theory of operation. Objects are immutable and written before anything that names them: the pack, then the manifest,
then the version, each flushed to the disk, and the ref last, under the lock. A crash at any point leaves unreachable
objects at worst. Readers take no lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from birdbone.core.files import raise_if_disk_full, write_atomically, write_json
from birdbone.vault.errors import ReadOnlyVaultError, UnsupportedFormatError, VaultBusyError

ObjectKind = Literal["blobs", "artefacts", "versions"]
RECORD_KINDS: tuple[ObjectKind, ...] = ("artefacts", "versions")
"""Kinds of object that are files of their own; the third, `blobs`, lies in packs."""

_FORMAT = "birdbone.vault/2"
_LOCK_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Vault:
    """An open store. Plain data: copy it, send it to another process, open it twice."""

    folder: Path
    lock_timeout_seconds: float = 60.0

    @property
    def objects(self) -> Path:
        """Folder of all objects."""
        return self.folder / "objects"

    @cached_property
    def packs(self) -> Path:
        """Folder of packs."""
        return self.objects / "packs"

    @property
    def staging(self) -> Path:
        """Folder of packs that are being written."""
        return self.objects / "staging"

    @property
    def refs(self) -> Path:
        """Folder of refs, `HEAD`, the reflog and the lock."""
        return self.folder / "refs"

    @property
    def reflog(self) -> Path:
        """The append-only file of all moves of refs."""
        return self.refs / "reflog.jsonl"


def open_vault(folder: Path) -> Vault:
    """Return the store in `folder`, made there if there is none.

    Raises:
        UnsupportedFormatError: another generation of Birdbone wrote it.
        ReadOnlyVaultError: there is none and none can be made.
    """
    vault = Vault(folder=Path(folder))
    if not (vault.objects / "format.json").exists():
        with explain_write_errors(vault.folder):
            _make(vault)
    _check_format(vault)
    return vault


@contextlib.contextmanager
def hold_lock(vault: Vault) -> Iterator[None]:
    """Hold the store's lock: one process and one thread at a time. Not re-entrant.

    Raises:
        VaultBusyError: another held it for longer than `vault.lock_timeout_seconds`.
    """
    with explain_write_errors(vault.refs):
        handle = os.open(vault.refs / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _acquire(handle, timeout_seconds=vault.lock_timeout_seconds)
        yield
    finally:
        os.close(handle)  # closing gives the lock back, and so does dying


@contextlib.contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn a full disk into `DiskFullError` and a store without write access into `ReadOnlyVaultError`."""
    try:
        yield
    except OSError as error:
        raise_if_disk_full(error, path)
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise ReadOnlyVaultError(f"{path} cannot be written: {error.strerror}.", path=str(path)) from error
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make(vault: Vault) -> None:
    for folder in (
        vault.packs,
        *(vault.objects / kind for kind in RECORD_KINDS),
        vault.staging,
        vault.refs / "heads",
        vault.refs / "tags",
    ):
        folder.mkdir(parents=True, exist_ok=True)
    if not (vault.refs / "HEAD").exists():
        with write_atomically(vault.refs / "HEAD") as stream:
            stream.write(b"ref: refs/heads/main\n")
    sync_folder(vault.folder)
    write_json(vault.objects / "format.json", {"format": _FORMAT})


def _check_format(vault: Vault) -> None:
    path = vault.objects / "format.json"
    try:
        found = json.loads(path.read_bytes())["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnsupportedFormatError(f"{path} is not understood.", path=str(path)) from error
    if found != _FORMAT:
        raise UnsupportedFormatError(f"{vault.folder} has the format {found!r}; this Birdbone reads {_FORMAT!r}.")


def _acquire(handle: int, *, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise VaultBusyError(f"The lock was held by another for {timeout_seconds:g} s.") from error
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return


def make_young(path: Path) -> bool:
    """Make a file young, so that a garbage collection leaves it alone; False if it is not there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise  # a store that we may only read needs no youth: nobody collects garbage in it
    return True
