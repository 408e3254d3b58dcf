"""The seccomp filter: which system calls the tested code may not make, as a BPF program.

Pure: numbers in, instructions out. Two answers to a forbidden call: `EPERM`, where honest code may stumble (a socket, a
`chmod`), and death by `SIGSYS`, where none would. A number above those known when this was written does not exist
(`ENOSYS`), so that a newer kernel brings no new way out.
Source: Linux, Documentation/userspace-api/seccomp_filter.rst; numbers from asm/unistd_64.h and asm-generic/unistd.h.
"""

from __future__ import annotations

import errno

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""

LAST_KNOWN_CALL = 450
RET_KILL, RET_ERRNO, RET_ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
DENY, MISSING = RET_ERRNO | errno.EPERM, RET_ERRNO | errno.ENOSYS

_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_FIRST_ARGUMENT, _OFFSET_SECOND_ARGUMENT = 0, 4, 16, 24
_CLONE_THREAD, _CLONE_NEW = 0x00010000, 0x7E020000

_ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Name: (number on x86_64, number on aarch64); None where the architecture has no such call.
_KILLED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "ioperm": (173, None),
    "iopl": (172, None),
    "modify_ldt": (154, None),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262),
    "vhangup": (153, 58),
    "uselib": (134, None),
}

_DENIED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "listen": (50, 201),
    "execve": (59, 221),
    "execveat": (322, 281),
    "tkill": (200, 130),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "setrlimit": (160, 164),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "utimensat": (280, 88),
    "futimesat": (261, None),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "personality": (135, 92),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setgroups": (116, 159),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "capset": (126, 91),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
}

_FORKS: dict[str, tuple[int | None, int | None]] = {"fork": (57, None), "vfork": (58, None)}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_TO_ONESELF: dict[str, tuple[int, int]] = {
    "kill": (62, 129),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}
# Signals through the back door (F_SETOWN, F_SETSIG, F_SETOWN_EX; FIOSETOWN, SIOCSPGRP), and typing into a terminal.
_BAD_SECOND_ARGUMENTS: dict[str, tuple[tuple[int, int], tuple[int, ...]]] = {
    "fcntl": ((72, 25), (8, 10, 15)),
    "ioctl": ((16, 29), (0x8901, 0x8902, 0x5412, 0x541C)),
}
_PRLIMIT = {"x86_64": 302, "aarch64": 261}


def is_known(machine: str) -> bool:
    """Whether there is a filter for this architecture (`os.uname().machine`)."""
    return machine in _ARCHES


def build_filter(machine: str, own_pid: int, *, may_fork: bool) -> list[Instruction]:
    """Return the BPF program of one process.

    Args:
        machine: `x86_64` or `aarch64`.
        own_pid: the process id as the process sees it: the only one that it may signal.
        may_fork: whether it may have child processes. Threads are never denied here.
    """
    column = list(_ARCHES).index(machine)
    program: list[Instruction] = [
        (_LOAD, 0, 0, _OFFSET_ARCH),
        (_EQUAL, 1, 0, _ARCHES[machine]),
        _answer(RET_KILL),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
        (_GREATER, 0, 1, LAST_KNOWN_CALL),
        _answer(MISSING),
    ]
    denied = _DENIED if may_fork else {**_DENIED, **_FORKS}
    for answer, calls in ((RET_KILL, _KILLED), (DENY, denied)):
        numbers = [pair[column] for pair in calls.values()]
        program += [step for number in numbers if number is not None for step in _always(number, answer)]
    # Its flags lie in memory, where a filter cannot look; without it the C library uses `clone`.
    program += _always(_CLONE3, MISSING)
    program += _clone(_CLONE[machine], may_fork=may_fork)
    for pair in _TO_ONESELF.values():
        program += _if_first_argument_is(pair[column], own_pid)
    program += _if_first_argument_is(_PRLIMIT[machine], 0)
    for numbers_of_call, values in _BAD_SECOND_ARGUMENTS.values():
        program += _unless_second_argument_in(numbers_of_call[column], values)
    return [*program, _answer(RET_ALLOW)]


def _answer(value: int) -> Instruction:
    return (_RETURN, 0, 0, value)


def _always(number: int, answer: int) -> list[Instruction]:
    return [(_EQUAL, 0, 1, number), _answer(answer)]


def _if_first_argument_is(number: int, allowed: int) -> list[Instruction]:
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _OFFSET_FIRST_ARGUMENT),
        (_EQUAL, 0, 1, allowed),
        _answer(RET_ALLOW),
        _answer(DENY),
    ]


def _unless_second_argument_in(number: int, values: tuple[int, ...]) -> list[Instruction]:
    checks = [step for value in values for step in _always(value, DENY)]
    load = (_LOAD, 0, 0, _OFFSET_SECOND_ARGUMENT)
    return [(_EQUAL, 0, len(checks) + 2, number), load, *checks, _answer(RET_ALLOW)]


def _clone(number: int, *, may_fork: bool) -> list[Instruction]:
    return [
        (_EQUAL, 0, 6, number),
        (_LOAD, 0, 0, _OFFSET_FIRST_ARGUMENT),
        (_ANY_BIT, 3, 0, _CLONE_NEW),
        *([(_ANY_BIT, 1, 1, _CLONE_THREAD)] if may_fork else [(_ANY_BIT, 1, 0, _CLONE_THREAD)]),
        _answer(DENY),
        _answer(RET_ALLOW),
        _answer(DENY),
    ]
