"""The query itself: which versions match, in which order, as which rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from birdbone.vault.errors import BadQueryError
from birdbone.vault.folder import Vault
from birdbone.vault.query.fields import Datum, Field, find_fields
from birdbone.vault.query.language import FieldName, parse_order, parse_query, tests_of
from birdbone.vault.query.matching import check_query
from birdbone.vault.query.snapshot import Scope, Snapshot, take_snapshot
from birdbone.vault.records import Version

Cell = str | float | list[str | float] | None
"""Plain data for a table or JSON. None: the version has no such value."""

_ALWAYS_SHOWN = ("id", "time", "ref", "message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A version that matches, and the columns asked for: times as ISO 8601 in UTC, several values as a list."""

    id: str
    version: Version
    row: dict[str, Cell]


def query_versions(
    vault: Vault,
    text: str = "",
    *,
    order_by: str = "",
    limit: int | None = None,
    columns: Sequence[str] | None = None,
    scope: Scope = "refs",
) -> list[Match]:
    """Return the versions that match a query.

    Each version is read once, a manifest only where a field needs it (`kind`, `size`, `num_tensors`, `dtype`); no
    tensor is read.

    Args:
        text: such as `sparsity > 50% and phase = 'compress'`; the grammar stands in `birdbone.vault.query.language`,
            the fields in `birdbone.vault.query.fields`. Empty: every version.
        order_by: such as `perplexity, time desc`. Versions without the value come last, in either direction; equals
            stay newest first. Empty: newest first, a child before its parents.
        limit: at most so many, counted after sorting.
        columns: fields and measurements that `Match.row` holds. None: id, time, ref, message, and what the query and
            the order name.
        scope: `refs`: what branches and tags reach. `all`: also what they pointed at once and the store still has.

    Raises:
        BadQueryError: bad syntax, a value of the wrong type, or a limit below zero.
        UnknownFieldError: no version in scope has a field that is named.
    """
    if limit is not None and limit < 0:
        raise BadQueryError(f"A limit is 0 or more; {limit} came.", hint="Leave it out for no limit.")
    snapshot = take_snapshot(vault, scope=scope)
    query = check_query(text, snapshot)
    found = [id for id in snapshot.versions if query.matches(id)]
    ordered = _in_order(found, order_by, snapshot)
    names = _default_columns(text, order_by) if columns is None else list(columns)
    fields = _fields_of(names, snapshot)
    return [
        Match(id=id, version=snapshot.versions[id], row=_row(id, fields, snapshot))
        for id in (ordered if limit is None else ordered[:limit])
    ]


def _in_order(ids: list[str], order_by: str, snapshot: Snapshot) -> list[str]:
    keys = parse_order(order_by)
    if not snapshot.versions:
        return ids
    fields = find_fields((key.field for key in keys), snapshot, text=order_by)
    for key in reversed(keys):  # sorts are stable: the most important key comes last
        field = fields[key.field.name]
        has_value = {id: field.values(snapshot, id, snapshot.versions[id]) for id in ids}
        present = [id for id in ids if has_value[id]]
        present.sort(key=lambda id: _sort_key(has_value[id][0]), reverse=key.is_descending)
        ids = [*present, *(id for id in ids if not has_value[id])]
    return ids


def _sort_key(value: Datum) -> tuple[bool, float, str]:
    """Return a key for any value: numbers and times before texts, so that a mixed measurement sorts as well."""
    if isinstance(value, dt.datetime):
        return False, value.timestamp(), ""
    return (True, 0.0, value) if isinstance(value, str) else (False, value, "")


def _default_columns(text: str, order_by: str) -> list[str]:
    asked = [test.field.name for test in tests_of(parse_query(text))]
    sorted_by = [key.field.name for key in parse_order(order_by)]
    return list(dict.fromkeys((*_ALWAYS_SHOWN[:-1], *asked, *sorted_by, _ALWAYS_SHOWN[-1])))


def _fields_of(names: Sequence[str], snapshot: Snapshot) -> Mapping[str, Field]:
    if not snapshot.versions:
        return {}
    return {
        name: find_fields([FieldName(name=name, position=0)], snapshot, text=name)[name]
        for name in dict.fromkeys(names)
    }


def _row(id: str, fields: Mapping[str, Field], snapshot: Snapshot) -> dict[str, Cell]:
    return {name: _cell(field, snapshot, id) for name, field in fields.items()}


def _cell(field: Field, snapshot: Snapshot, id: str) -> Cell:
    values = (field.shown or field.values)(snapshot, id, snapshot.versions[id])
    plain: list[str | float] = [value.isoformat() if isinstance(value, dt.datetime) else value for value in values]
    if field.is_set:
        return plain
    return plain[0] if plain else None
