"""A completion that only wants to be counted as passed is not. Each would pass, or hide, with the test beside it."""

from __future__ import annotations

import textwrap

import pytest

from birdbone.evaluate.sandbox import Limits, SandboxResult, check_humaneval, check_mbpp

pytestmark = pytest.mark.usefixtures("sandbox")

PROMPT = "def solve(n: int) -> str:\n    '''Return the answer.'''\n"
SECRET = "the-expected-answer-5391"
TEST = f"def check(candidate):\n    assert candidate(3) == {SECRET!r}\n"


def check(body: str, limits: Limits) -> SandboxResult:
    return check_humaneval(PROMPT, textwrap.indent(body, "    ") + "\n", TEST, "solve", limits=limits)


def test_the_task_can_be_passed(limits: Limits) -> None:
    assert check(f"return {SECRET!r}", limits).has_passed


FAKES = {
    "sys.exit": "import sys\nsys.exit(0)",
    "os._exit": "import os\nos._exit(0)",
    "exit in a finally": "try:\n    return 1\nfinally:\n    raise SystemExit(0)",
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit(0)",
    "equal to everything": "class E:\n    def __eq__(self, o): return True\nreturn E()",
    "unequal to nothing": (
        "class E(str):\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\nreturn E('x')"
    ),
    "mock": "import unittest.mock\nreturn unittest.mock.ANY",
    "builtins": "import builtins\nbuiltins.AssertionError = type('A', (BaseException,), {})\nreturn 1",
    "harness": (
        "import sys\nfor m in list(sys.modules.values()):\n    for n in ('judge', 'encode', 'serve', 'explain'):\n"
        "        if hasattr(m, n): setattr(m, n, lambda *a, **k: True)\nreturn 1"
    ),
    "closed descriptors": "import os\nfor n in range(32):\n    try: os.close(n)\n    except OSError: pass\nreturn 1",
    "verdict to every descriptor": (
        "import os, json\nb = json.dumps({'nonce': '', 'ending': 'passed', 'exception': None, 'detail': '',"
        " 'signal_number': None}).encode()\nfor n in range(32):\n"
        "    try: os.write(n, len(b).to_bytes(4, 'big') + b)\n    except OSError: pass\nreturn 1"
    ),
    "endless answers": "return iter(int, 1)",
    "huge answer": "return 'x' * 10**7",
    "answer that holds itself": "x = []\nx.append(x)\nreturn x",
    "callable answer": "return lambda *a: True",
}


@pytest.mark.parametrize("name", FAKES)
def test_a_fake_does_not_pass(name: str, limits: Limits) -> None:
    result = check(FAKES[name], limits)
    assert not result.has_passed
    assert result.ending in ("failed", "exited", "killed", "memory"), result


@pytest.mark.parametrize(
    "spy",
    [
        "import sys\nf = sys._getframe()\nwhile f:\n    print(f.f_locals, f.f_globals)\n    f = f.f_back",
        "import gc\nfor o in gc.get_objects():\n    print(repr(o)[:5000])",
        "import os\nfor n in range(32):\n    try: print(os.pread(n, 9999, 0))\n    except OSError: pass",
    ],
)
def test_the_expected_answer_is_nowhere_to_be_seen(spy: str) -> None:
    result = check(spy, Limits(output_bytes=2**24, wall_seconds=30))
    assert result.ending == "failed"
    assert SECRET not in result.stdout + result.stderr + result.detail
    assert "3" in result.stdout or "pread" in spy  # it did look around


def test_the_memory_of_the_process_does_not_hold_the_answer(limits: Limits) -> None:
    # Reading the heap byte by byte, as far as it is mapped: from the lowest object to the highest.
    spy = (
        "import ctypes, gc\nwanted = 'the-expected' + '-answer'\nplaces = sorted(id(o) for o in gc.get_objects())\n"
        "for p in places:\n    if wanted.encode() in ctypes.string_at(p, 64): return wanted + '-5391'\nreturn 'nowhere'"
    )
    result = check(spy, limits)
    assert (result.ending, result.exception) == ("failed", "AssertionError")


def test_a_builtin_of_the_codes_own_does_not_reach_the_test(limits: Limits) -> None:
    code = "def similar(a): return ()\ndef set(x): return 1\ndef len(x): return 2"
    assert not check_mbpp(code, ["assert set(similar((3, 4))) == set((3, 4))"], limits=limits).has_passed
    assert not check_mbpp(code, ["assert len(similar((3, 4))) == 2"], limits=limits).has_passed


def test_a_module_of_the_codes_own_does_not_reach_the_test(limits: Limits) -> None:
    code = "class math:\n    isclose = staticmethod(lambda *a, **k: True)\ndef f(x): return 0"
    assert not check_mbpp(code, ["assert math.isclose(f(1), 1.0)"], limits=limits).has_passed


def test_an_object_of_the_code_is_neither_true_nor_equal_nor_unequal(limits: Limits) -> None:
    code = "class T:\n    def __bool__(self): return True\n    def __eq__(self, o): return True\ndef f(x): return T()"
    for assertion in ("assert f(1)", "assert f(1) == 3", "assert f(1) != 3", "assert not f(1)"):
        result = check_mbpp(code, [assertion], limits=limits)
        assert (result.ending, result.exception) == ("failed", "TypeError"), assertion


def test_a_test_that_swallows_everything_does_not_hide_that_the_program_is_gone(limits: Limits) -> None:
    test = "def check(candidate):\n    try:\n        candidate(1)\n    except BaseException:\n        pass\n"
    result = check_humaneval(PROMPT, "    import os\n    os._exit(0)\n", test, "solve", limits=limits)
    assert result.ending == "exited"
