"""Which names of a test are the code's, and which are not for the code to say."""

from __future__ import annotations

import pytest

from birdbone.evaluate.errors import BadTestError
from birdbone.evaluate.sandbox import humaneval_program, mbpp_program


@pytest.mark.parametrize(
    ("tests", "remote"),
    [
        (["assert add(1, 2) == 3"], ("add",)),
        (["assert set(similar((3, 4))) == set((4, 3))"], ("similar",)),
        (["assert sum(10, 15) == 6"], ("sum",)),
        (["assert math.isclose(area(2), 4.0, rel_tol=0.001)"], ("area",)),
        (["assert longest([Pair(5, 24), Pair(15, 25)], 2) == 1"], ("Pair", "longest")),
        (["assert all(f(x) == x for x in [1, 2])"], ("f",)),
    ],
)
def test_the_names_that_python_does_not_define_are_the_codes(tests: list[str], remote: tuple[str, ...]) -> None:
    assert mbpp_program("", tests).remote_names == remote


def test_what_the_setup_defines_is_not_the_codes() -> None:
    program = mbpp_program("", ["assert height(root) == limit"], "root = Node(1)\r\nroot.left = Node(2)\r\nlimit = 2")
    assert program.remote_names == ("Node", "height")


def test_a_module_of_the_standard_library_is_the_judges_own() -> None:
    assert mbpp_program("", ["assert math.isclose(f(1), 1)"]).support == "import math\n"


def test_humaneval_calls_check_with_the_entry_point() -> None:
    program = humaneval_program(
        "def f(x):\n    '''d'''\n", "    return x\n", "def check(c):\n    assert c(1) == 1\n", "f"
    )
    assert program.code == "def f(x):\n    '''d'''\n    return x\n"
    assert program.tests.endswith("check(f)\n")


@pytest.mark.parametrize("test", ["assert f(", "assert f(1) == 'a", "assert f('\0')"])
def test_a_task_that_is_not_python_is_no_fault_of_the_code(test: str) -> None:
    with pytest.raises(BadTestError, match="not Python"):
        mbpp_program("def f(x): return x", [test])
    with pytest.raises(BadTestError, match="not Python"):
        humaneval_program("def f(x):\n    '''d'''\n", "    return x\n", test, "f")
