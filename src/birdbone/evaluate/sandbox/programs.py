"""What is to be run: code, and the tests that judge it.

In the tests, names of the standard library and of Python itself mean what they mean, whatever the code defines: else
a `set` of its own would make every comparison of sets true. All other names that the tests use and do not define are
the code's.
"""

from __future__ import annotations

import builtins
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from birdbone.evaluate.errors import BadTestError

_TEST_MODULES = frozenset(
    {"bisect", "cmath", "collections", "copy", "datetime", "functools", "heapq", "itertools", "math", "operator"}
    | {"random", "re", "string", "sys"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Code and its tests."""

    code: str
    module_name: str = "program"
    """The code's `__name__`."""
    support: str = ""
    """Run by the judge before the tests; trusted."""
    remote_names: tuple[str, ...] = ()
    """Names in the tests that stand for the code's objects."""
    tests: str = ""
    """Run by the judge; trusted."""


def humaneval_program(prompt: str, completion: str, test: str, entry_point: str) -> Program:
    """Return a task of HumanEval with one completion.

    The judge runs the prompt too, with an empty body, since some tests use a function that the prompt defines.

    Raises:
        BadTestError: prompt or test is not Python.
    Source: Chen et al. 2021, arXiv:2107.03374, sect. 2. Differs: test and completion run in two processes.
    """
    program = Program(
        code=prompt + completion,
        support=prompt + "\n    pass\n",
        remote_names=(entry_point,),
        tests=f"{test}\ncheck({entry_point})\n",
    )
    _require_python(program)
    return program


def mbpp_program(code: str, tests: Sequence[str], setup: str = "") -> Program:
    """Return a task of MBPP with one answer.

    Args:
        code: what the model wrote.
        tests: assertions, a statement each.
        setup: statements that come before them and may use what the code defines.

    Raises:
        BadTestError: the tests or the setup are not Python.
    Source: Austin et al. 2021, arXiv:2108.07732, sect. 2.2. Differs: as for HumanEval.
    """
    source = "\n".join([setup.replace("\r\n", "\n"), *tests]) + "\n"
    free = _free_names(source)
    imports = "".join(f"import {name}\n" for name in sorted(free & _TEST_MODULES))
    own = free - _TEST_MODULES
    # Task 126 asks for a function called `sum`: a name of Python is the code's only if the tests use no other of its.
    remote = {name for name in own if not hasattr(builtins, name)} or own
    program = Program(code=code, support=imports, remote_names=tuple(sorted(remote)), tests=source)
    _require_python(program)
    return program


def _free_names(source: str) -> set[str]:
    try:
        table = symtable.symtable(source, "<tests>", "exec")
    except (SyntaxError, ValueError) as error:
        raise BadTestError(f"the tests are not Python: {error}") from error
    defined = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    return set(_global_names(table)) - defined


def _global_names(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _global_names(child)


def _require_python(program: Program) -> None:
    for what, source in (("prompt", program.support), ("test", program.tests)):
        try:
            compile(source, f"<{what}>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise BadTestError(f"the {what} of the task is not Python: {error}") from error
