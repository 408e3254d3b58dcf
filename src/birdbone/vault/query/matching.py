"""Whether a version matches a query, in SQL's logic of three values.

A test on a field that the version lacks is neither true nor false but unknown, and so is its negation: `not (sparsity >
0.5)` finds no version whose sparsity was never measured. `is null` finds those. A version matches when the whole is
true. A field with several values is equal to (or like, or in, or below) what one of them is; `!=` says that none is.

Source: Kleene 1952, Introduction to Metamathematics, section 64: strong three-valued logic, as in SQL-92, section 8.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from birdbone.vault.query.fields import Datum, Field, as_time, find_fields
from birdbone.vault.query.language import (
    AllOf,
    AnyOf,
    Compare,
    Constant,
    Expression,
    IsIn,
    IsNull,
    Like,
    Not,
    Operator,
    Test,
    parse_query,
    refusal,
    tests_of,
)
from birdbone.vault.query.snapshot import Snapshot

_COMPARISONS: dict[Operator, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query whose fields and types were checked against a snapshot."""

    expression: Expression
    fields: Mapping[str, Field]
    snapshot: Snapshot

    def matches(self, id: str) -> bool:
        """Return whether the version with this id matches."""
        return self._truth(self.expression, id) is True

    def _truth(self, expression: Expression, id: str) -> bool | None:
        match expression:
            case AllOf(parts=parts):
                return _all(self._truth(part, id) for part in parts)
            case AnyOf(parts=parts):
                return _negation(_all(_negation(self._truth(part, id)) for part in parts))
            case Not(part=part):
                return _negation(self._truth(part, id))
            case IsNull(field=name):
                return not self._values(name.name, id)
            case test:
                values = self._values(test.field.name, id)
                return _holds(test, values) if values else None

    def _values(self, name: str, id: str) -> tuple[Datum, ...]:
        return self.fields[name].values(self.snapshot, id, self.snapshot.versions[id])


def check_query(text: str, snapshot: Snapshot) -> Query:
    """Return the query, ready to be asked of each version of `snapshot`.

    A snapshot without versions has nothing to check fields against: any query then matches nothing.

    Raises:
        BadQueryError: bad syntax, or a value of another type than the field's.
        UnknownFieldError: no version has such a field.
    """
    expression = parse_query(text)
    tests = list(tests_of(expression))
    if not snapshot.versions:
        return Query(expression=expression, fields={}, snapshot=snapshot)
    fields = find_fields((test.field for test in tests), snapshot, text=text)
    for test in tests:
        _check_types(test, fields[test.field.name], snapshot, text=text)
    return Query(expression=expression, fields=fields, snapshot=snapshot)


def _all(truths: Any) -> bool | None:
    """Return Kleene's conjunction: false if one is false, else unknown if one is, else true."""
    found = list(truths)
    if any(truth is False for truth in found):
        return False
    return None if None in found else True


def _negation(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def _holds(test: Compare | Like | IsIn, values: Sequence[Datum]) -> bool:
    match test:
        case Compare(operator="!=", constant=constant):
            return not any(_is(value, "=", constant) for value in values)
        case Compare(operator=operator_, constant=constant):
            return any(_is(value, operator_, constant) for value in values)
        case Like(constant=constant):
            return any(fnmatch.fnmatchcase(_as_text(value), str(constant.value)) for value in values)
        case IsIn(constants=constants):
            return any(_is(value, "=", constant) for value in values for constant in constants)
        case never:
            assert_never(never)


def _is(value: Datum, operator_: Operator, constant: Constant) -> bool:
    """Return whether the comparison holds; a text and a number are never equal, nor is one below the other."""
    other: Datum = constant.value
    if isinstance(value, dt.datetime):
        other = as_time(str(other))
    if isinstance(value, str) != isinstance(other, str):
        return False
    return _COMPARISONS[operator_](value, other)


def _as_text(value: Datum) -> str:
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)


def _check_types(test: Test, field: Field, snapshot: Snapshot, *, text: str) -> None:
    kind = field.kind or _kind_of_values(field, snapshot)
    match test:
        case IsNull():
            return
        case Like(field=name) if kind == "number":
            hint = "Compare a number with <, <=, =, !=, >= or >."
            raise refusal(text, name.position, f"`like` compares texts; {name.name} is a number.", hint=hint)
        case Like():
            return
        case Compare(constant=constant):
            constants: tuple[Constant, ...] = (constant,)
        case IsIn(constants=several):
            constants = several
        case never:
            assert_never(never)
    for constant in constants:
        _check_type(test.field.name, kind, constant, text=text)


def _check_type(name: str, kind: str | None, constant: Constant, *, text: str) -> None:
    is_text = isinstance(constant.value, str)
    if kind == "number" and is_text:
        hint = "Write the number without quotes."
        raise refusal(text, constant.position, f"{name} is a number; a text came.", hint=hint)
    if kind in ("text", "time") and not is_text:
        hint = "Write a date, '2026-11-01'." if kind == "time" else "Write the text in single quotes."
        raise refusal(text, constant.position, f"{name} is a {kind}; a number came.", hint=hint)
    if kind == "time":
        _check_time(name, constant, text=text)


def _check_time(name: str, constant: Constant, *, text: str) -> None:
    try:
        as_time(str(constant.value))
    except (ValueError, OverflowError) as error:
        hint = "Write a date or a time such as '2026-11-01' or '2026-11-01T08:30'."
        raise refusal(text, constant.position, f"{name} is a time; {constant.value!r} is none.", hint=hint) from error


def _kind_of_values(field: Field, snapshot: Snapshot) -> str | None:
    """Return the kind of a measurement's values, or None where they are mixed (or nowhere a text or number)."""
    values = [value for id, version in snapshot.versions.items() for value in field.values(snapshot, id, version)]
    kinds = {"text" if isinstance(value, str) else "number" for value in values}
    return kinds.pop() if len(kinds) == 1 else None
