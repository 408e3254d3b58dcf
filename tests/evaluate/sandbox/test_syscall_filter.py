"""The filter answers as its tables say. It is run here by a small BPF machine; the kernel runs it in test_escapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.evaluate.sandbox.inside import syscall_filter
from birdbone.evaluate.sandbox.inside.syscall_filter import DENY, MISSING, RET_ALLOW, RET_KILL, build_filter

X86, ARM = 0xC000003E, 0xC00000B7
OWN_PID = 4242
words = st.integers(min_value=0, max_value=2**32 - 1)


def answer(
    program: list[tuple[int, int, int, int]], number: int, first: int = 0, second: int = 0, *, arch: int = X86
) -> int:
    data = {0: number, 4: arch, 16: first, 24: second}
    place = accumulator = 0
    while True:
        code, if_true, if_false, constant = program[place]
        place += 1
        match code:
            case 0x20:
                accumulator = data[constant]
            case 0x06:
                return constant
            case _:
                is_true = {
                    0x15: accumulator == constant,
                    0x25: accumulator > constant,
                    0x45: bool(accumulator & constant),
                }[code]
                place += if_true if is_true else if_false


@given(number=st.integers(min_value=0, max_value=600), first=words, second=words, may_fork=st.booleans())
def test_the_program_always_comes_to_one_of_four_answers(number: int, first: int, second: int, may_fork: bool) -> None:
    program = build_filter("x86_64", OWN_PID, may_fork=may_fork)
    got = answer(program, number, first, second)
    assert got in (RET_ALLOW, RET_KILL, DENY, MISSING)
    assert (got == MISSING) == (number > syscall_filter.LAST_KNOWN_CALL or number == 435)


@given(number=words, first=words)
def test_another_architecture_is_death(number: int, first: int) -> None:
    assert answer(build_filter("x86_64", OWN_PID, may_fork=True), number, first, arch=0x40000003) == RET_KILL
    assert answer(build_filter("aarch64", OWN_PID, may_fork=True), number, first, arch=X86) == RET_KILL


@given(number=words.filter(lambda n: n > syscall_filter.LAST_KNOWN_CALL))
def test_calls_that_are_not_known_do_not_exist(number: int) -> None:
    assert answer(build_filter("x86_64", OWN_PID, may_fork=True), number) == MISSING


@given(pid=words)
def test_only_oneself_may_be_signalled(pid: int) -> None:
    program = build_filter("x86_64", OWN_PID, may_fork=True)
    for number in (62, 234, 129, 297):
        assert answer(program, number, pid) == (RET_ALLOW if pid == OWN_PID else DENY)


@given(flags=words)
def test_a_clone_makes_no_namespace_and_without_leave_no_process(flags: int) -> None:
    enters, is_thread = bool(flags & 0x7E020000), bool(flags & 0x10000)
    assert answer(build_filter("x86_64", OWN_PID, may_fork=True), 56, flags) == (DENY if enters else RET_ALLOW)
    is_allowed = is_thread and not enters
    assert answer(build_filter("x86_64", OWN_PID, may_fork=False), 56, flags) == (RET_ALLOW if is_allowed else DENY)


@pytest.mark.parametrize(
    ("machine", "arch", "number", "expected"),
    [
        ("x86_64", X86, 0, RET_ALLOW),  # read
        ("x86_64", X86, 257, RET_ALLOW),  # openat
        ("x86_64", X86, 41, DENY),  # socket
        ("x86_64", X86, 59, DENY),  # execve
        ("x86_64", X86, 90, DENY),  # chmod
        ("x86_64", X86, 112, DENY),  # setsid
        ("x86_64", X86, 101, RET_KILL),  # ptrace
        ("x86_64", X86, 165, RET_KILL),  # mount
        ("x86_64", X86, 250, RET_KILL),  # keyctl
        ("x86_64", X86, 321, RET_KILL),  # bpf
        ("aarch64", ARM, 63, RET_ALLOW),  # read
        ("aarch64", ARM, 198, DENY),  # socket
        ("aarch64", ARM, 221, DENY),  # execve
        ("aarch64", ARM, 117, RET_KILL),  # ptrace
        ("aarch64", ARM, 280, RET_KILL),  # bpf
    ],
)
def test_known_calls_get_their_answer(machine: str, arch: int, number: int, expected: int) -> None:
    assert answer(build_filter(machine, OWN_PID, may_fork=True), number, arch=arch) == expected


@pytest.mark.parametrize(("second", "expected"), [(1, RET_ALLOW), (3, RET_ALLOW), (8, DENY), (10, DENY), (15, DENY)])
def test_a_descriptor_may_not_be_made_to_signal(second: int, expected: int) -> None:
    assert answer(build_filter("x86_64", OWN_PID, may_fork=True), 72, 0, second) == expected


def test_fork_is_denied_without_leave() -> None:
    assert answer(build_filter("x86_64", OWN_PID, may_fork=False), 57) == DENY
    assert answer(build_filter("x86_64", OWN_PID, may_fork=True), 57) == RET_ALLOW
