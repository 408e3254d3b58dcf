"""Whole-number formulas over named values, such as `a * (b + 2)`, and conditions, such as `0 < a - b`.

Nothing else runs: a formula is read by Python's own parser and walked: a name, a whole number, `+ - * / // %` and
brackets. What does not come out as a whole number has no value, and the draw it stands in is drawn again.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping

MAX_MAGNITUDE = 10**15
"""A larger result is refused: it would be no question for a language model."""

_MAX_CHARACTERS = 200


class NoValueError(ArithmeticError):
    """A division by zero, with a remainder, or a result beyond `MAX_MAGNITUDE`."""


def names_in(text: str) -> set[str]:
    """Return the names in a formula or a condition.

    Raises:
        ValueError: it is neither.
    """
    tree = _parse(text)
    parts = [tree.left, *tree.comparators] if isinstance(tree, ast.Compare) else [tree]
    for part in parts:
        _check(part, text)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def calculate(formula: str, values: Mapping[str, int]) -> int:
    """Return the value of a formula that `names_in` has read.

    Raises:
        NoValueError: it has none here.
    """
    return _value(_parse(formula), values)


def is_met(condition: str, values: Mapping[str, int]) -> bool:
    """Return whether a condition holds; one without a comparison holds where it is not zero. Raises NoValueError."""
    tree = _parse(condition)
    if not isinstance(tree, ast.Compare):
        return _value(tree, values) != 0
    sides = [_value(side, values) for side in (tree.left, *tree.comparators)]
    compared = [_COMPARISONS[type(kind)] for kind in tree.ops]
    return all(holds(sides[at], sides[at + 1]) for at, holds in enumerate(compared))


def _parse(text: str) -> ast.expr:
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"a formula of {len(text)} characters; {_MAX_CHARACTERS} are allowed")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is no formula") from error
    if isinstance(tree, ast.Compare) and not all(type(kind) in _COMPARISONS for kind in tree.ops):
        raise ValueError(f"{text!r} compares otherwise than by <, <=, >, >=, == and !=")
    return tree


def _check(node: ast.expr, text: str) -> None:
    match node:
        case ast.Name():
            return
        case ast.Constant(value=value) if type(value) is int:
            return
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, text)
        case ast.BinOp(left=left, op=kind, right=right) if type(kind) in _OPERATIONS:
            _check(left, text)
            _check(right, text)
        case _:
            raise ValueError(f"{text!r} holds more than names, whole numbers, + - * / // % and brackets")


def _value(node: ast.expr, values: Mapping[str, int]) -> int:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=int() as number):
            return number
        case ast.UnaryOp(operand=operand):
            return -_value(operand, values)
        case ast.BinOp(left=left, op=kind, right=right):
            return _bounded(_OPERATIONS[type(kind)], _value(left, values), _value(right, values))
        case _:
            raise AssertionError("`names_in` lets nothing else pass")


def _bounded(operation: Callable[[int, int], int], left: int, right: int) -> int:
    try:
        result = operation(left, right)
    except ZeroDivisionError as error:
        raise NoValueError("a division by zero") from error
    if abs(result) > MAX_MAGNITUDE:
        raise NoValueError(f"a result beyond {MAX_MAGNITUDE:.0e}")
    return result


def _divide(left: int, right: int) -> int:
    result, rest = divmod(left, right)
    if rest:
        raise NoValueError("a division with a remainder")
    return result


_OPERATIONS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
