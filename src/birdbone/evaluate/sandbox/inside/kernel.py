"""Calls of the Linux kernel that Python's standard library lacks, through ctypes."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER, _SECCOMP_GET_ACTION_AVAIL = 2, 2
_NR_SECCOMP = {"x86_64": 317, "aarch64": 277}
_NR_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_NR_MOUNT_SETATTR, _NR_CREATE_RULESET, _NR_ADD_RULE, _NR_RESTRICT_SELF = 442, 444, 445, 446
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns_fd"))


class _Ruleset(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("files", "network", "scoped"))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def unshare(flags: int) -> None:
    """Enter namespaces of one's own. Raises `OSError`, as everything here does."""
    _check(_libc.unshare(flags))


def mount(source: str, target: str, kind: str = "", *, flags: int = 0, options: str = "") -> None:
    """Mount `source` on `target`."""
    _check(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()))


def freeze_mounts(target: str) -> None:
    """Make the mount on `target` and all below it read-only, without set-user-id files and devices (Linux 5.12)."""
    attributes = _MountAttributes(set=MS_RDONLY | MS_NOSUID | MS_NODEV)
    _syscall(
        _NR_MOUNT_SETATTR,
        _AT_FDCWD,
        ctypes.c_char_p(target.encode()),
        _AT_RECURSIVE,
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )


def pivot_root_here() -> None:
    """Make the current folder the root, and let the old root go."""
    _syscall(_NR_PIVOT_ROOT[os.uname().machine], ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    _check(_libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends. A change of user id undoes it."""
    _prctl(_PR_SET_PDEATHSIG, 9)


def forbid_new_privileges() -> None:
    """Let no later `execve` gain rights. Cannot be undone."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def forbid_tracing() -> None:
    """Let no process of the same user read this one's memory."""
    _prctl(_PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up every capability. Cannot be undone after `forbid_new_privileges`."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()))


def has_seccomp() -> bool:
    """Whether filters can be installed here."""
    number = _NR_SECCOMP.get(os.uname().machine)
    kill = ctypes.c_uint32(0x80000000)
    return number is not None and _libc.syscall(number, _SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(kill)) == 0


def install_filter(program: Sequence[tuple[int, int, int, int]]) -> None:
    """Install a seccomp filter for this process and its children. Cannot be undone."""
    steps = (_Instruction * len(program))(*(_Instruction(*step) for step in program))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(_Program(len(program), steps)))


def landlock_version() -> int:
    """Return the version of Landlock that the kernel has; 0: none."""
    return max(0, int(_libc.syscall(_NR_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def landlock_ruleset(*, files: int, network: int, scoped: int) -> int:
    """Return a descriptor of rules that deny what the masks name until `landlock_allow` says otherwise.

    A mask that the kernel's version does not know must be 0.
    """
    size = 24 if scoped else 16 if network else 8
    rules = _Ruleset(files, network, scoped)
    return _syscall(_NR_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)


def landlock_allow(ruleset: int, path: str, allowed: int) -> None:
    """Allow the accesses `allowed` on `path` and all below it."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _syscall(_NR_ADD_RULE, ruleset, 1, ctypes.byref(_PathRule(allowed, descriptor)), 0)
    finally:
        os.close(descriptor)


def landlock_restrict(ruleset: int) -> None:
    """Put this process and its children under the rules. Cannot be undone."""
    _syscall(_NR_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _prctl(option: int, *arguments: object) -> None:
    _check(_libc.prctl(option, *arguments, *(ctypes.c_ulong(0) for _ in range(4 - len(arguments)))))


def _syscall(number: int, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
