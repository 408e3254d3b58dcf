"""Every ending is told apart."""

from __future__ import annotations

import pytest

from birdbone.evaluate.sandbox import Limits, check_humaneval, check_mbpp, run_python

pytestmark = pytest.mark.usefixtures("sandbox")

PROMPT = "import math\n\ndef area(r: float) -> float:\n    '''Return the area of a circle.'''\n"
TEST = "def check(candidate):\n    assert abs(candidate(1.0) - math.pi) < 1e-9\n"


@pytest.mark.parametrize(
    ("code", "ending", "exception"),
    [
        ("print('hello')", "passed", None),
        ("1 / 0", "failed", "ZeroDivisionError"),
        ("def f(: pass", "failed", "SyntaxError"),
        ("class Odd(Exception): pass\nraise Odd('why')", "failed", "Odd"),
        ("def f(): f()\nf()", "failed", "RecursionError"),
        ("import sys\nsys.exit(0)", "exited", "SystemExit"),
        ("raise KeyboardInterrupt", "exited", "KeyboardInterrupt"),
        ("import os\nos._exit(0)", "exited", None),
        ("x = bytearray(10**9)", "memory", "MemoryError"),
        ("import ctypes\nctypes.string_at(0)", "killed", None),
        ("while True: print('x' * 999)", "output", None),
        ("import os\nos.listdir('/nowhere')", "failed", "FileNotFoundError"),
        ("import socket\nsocket.socket()", "forbidden", "PermissionError"),
        ("import os\nos.chmod('/tmp', 0)", "forbidden", "PermissionError"),
        ("import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)", "forbidden", None),
        ("input()", "failed", "EOFError"),
    ],
)
def test_a_program_ends_as_it_does(code: str, ending: str, exception: str | None, limits: Limits) -> None:
    result = run_python(code, limits=limits)
    assert (result.ending, result.exception) == (ending, exception), result


@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(99)"])
def test_a_program_that_does_not_end_is_stopped(code: str) -> None:
    result = run_python(code, limits=Limits(wall_seconds=1))
    assert result.ending == "timeout"
    assert not result.has_passed


def test_processor_time_has_a_limit_of_its_own() -> None:
    result = run_python("while True: pass", limits=Limits(wall_seconds=60, cpu_seconds=1))
    assert (result.ending, result.detail) == ("timeout", "SIGXCPU")


def test_what_is_printed_is_kept_up_to_its_limit(limits: Limits) -> None:
    result = run_python("import sys\nprint('out')\nprint('error', file=sys.stderr)", limits=limits)
    assert (result.stdout, result.stderr) == ("out\n", "error\n")
    flood = run_python("while True: print('x' * 999)", limits=limits)
    assert len(flood.stdout) == limits.output_bytes


def test_every_run_hashes_alike(limits: Limits) -> None:
    assert run_python("print(hash('a'))", limits=limits).stdout == run_python("print(hash('a'))", limits=limits).stdout


def test_a_right_completion_passes_and_a_wrong_one_does_not(limits: Limits) -> None:
    right = check_humaneval(PROMPT, "    return math.pi * r * r\n", TEST, "area", limits=limits)
    wrong = check_humaneval(PROMPT, "    return 3.14 * r * r\n", TEST, "area", limits=limits)
    assert (right.ending, wrong.ending, wrong.exception) == ("passed", "failed", "AssertionError")


def test_a_test_may_use_a_function_of_the_prompt(limits: Limits) -> None:
    prompt = "def double(x):\n    return 2 * x\n\ndef half(x):\n    '''Return half of x.'''\n"
    test = "def check(candidate):\n    assert candidate(double(3)) == 3\n"
    assert check_humaneval(prompt, "    return x // 2\n", test, "half", limits=limits).has_passed


def test_a_test_may_expect_an_exception(limits: Limits) -> None:
    test = (
        "def check(candidate):\n    try:\n        candidate('x')\n    except ValueError:\n        return\n"
        "    assert False\n"
    )
    prompt = "def f(x):\n    '''d'''\n"
    assert check_humaneval(prompt, "    return int(x)\n", test, "f", limits=limits).has_passed
    assert not check_humaneval(prompt, "    return 1\n", test, "f", limits=limits).has_passed


def test_an_mbpp_test_may_build_objects_of_the_codes_classes(limits: Limits) -> None:
    code = (
        "class Node:\n    def __init__(self, v): self.v, self.next = v, None\n\n"
        "def total(n): return n.v + (total(n.next) if n.next else 0)"
    )
    setup = "root = Node(1)\r\nroot.next = Node(2)"
    assert check_mbpp(code, ["assert total(root) == 3", "assert root.next.v == 2"], setup, limits=limits).has_passed
    assert not check_mbpp(code, ["assert total(root) == 4"], setup, limits=limits).has_passed


def test_a_generator_can_be_listed_by_the_test(limits: Limits) -> None:
    code = "def count(n):\n    for i in range(n): yield i"
    assert check_mbpp(code, ["assert list(count(3)) == [0, 1, 2]"], limits=limits).has_passed


def test_code_that_lacks_the_function_fails(limits: Limits) -> None:
    result = check_mbpp("x = 1", ["assert f(1) == 1"], limits=limits)
    assert (result.ending, result.exception) == ("failed", "NameError")
