"""Landlock: what stays readable and writable by path, whatever else fails.

Source: Linux, Documentation/userspace-api/landlock.rst. Landlock does not cover `stat`, `chmod` and the like; the
system call filter denies the latter.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from birdbone.evaluate.sandbox.inside import kernel

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FIRST_WITH_TRUNCATE, _FIRST_WITH_NETWORK, _FIRST_WITH_DEVICES, _FIRST_WITH_SCOPES = 3, 4, 5, 6
_MAKE_SPECIAL = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11  # character device, socket, pipe, block device
_CONNECT_AND_BIND_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def restrict(readable: Iterable[str], writable: Iterable[str], devices: Iterable[str]) -> bool:
    """Allow no other access to files, and no TCP; return whether the kernel's Landlock is good enough (Linux 6.2).

    Args:
        readable: folders and files that may be read, with all below them. Those that do not exist are left out.
        writable: folders in which files and folders may be made, changed and deleted.
        devices: files that may be read and written.
    """
    version = kernel.landlock_version()
    if version < _FIRST_WITH_TRUNCATE:
        return False  # it would let any file of this user be emptied
    every = (1 << (16 if version >= _FIRST_WITH_DEVICES else 15)) - 1
    ruleset = kernel.landlock_ruleset(
        files=every,
        network=_CONNECT_AND_BIND_TCP if version >= _FIRST_WITH_NETWORK else 0,
        scoped=_ABSTRACT_SOCKETS_AND_SIGNALS if version >= _FIRST_WITH_SCOPES else 0,
    )
    for path in filter(_exists, readable):
        kernel.landlock_allow(ruleset, path, _READ_FILE | (_READ_DIR if Path(path).is_dir() else 0))
    for path in filter(_exists, writable):
        kernel.landlock_allow(ruleset, path, every & ~_EXECUTE & ~_MAKE_SPECIAL)
    for path in filter(_exists, devices):
        kernel.landlock_allow(ruleset, path, _READ_FILE | _WRITE_FILE)
    kernel.landlock_restrict(ruleset)
    return True


def _exists(path: str) -> bool:
    return Path(path).exists()
