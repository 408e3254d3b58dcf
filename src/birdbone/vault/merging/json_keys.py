"""Three-way merging of JSON objects key by key. A list or a plain value is one thing; an object is gone into."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from birdbone.vault.merging.changes import Change, compare

ABSENT: Final = object()
"""What a side has under a key that it lacks."""


def parse_object(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `content`, or None if it is none, or one that cannot be written back as it was read.

    That is one with a key twice, a number that is not finite, or bytes that are not UTF-8.
    """
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_without_doubles, parse_constant=_refuse)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def compare_keys(
    path: str, bases: Sequence[Mapping[str, Any]], ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> list[Change[Any]]:
    """Return the change of every key, named `path:key`, or `path:outer.inner` within objects."""
    return list(_compare(f"{path}:", (), bases, ours, theirs))


def join(path: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], chosen: Mapping[str, Any]) -> bytes:
    """Return the object in which the key of each change (by its name) has its chosen value, as indented JSON.

    Keys stand in our order, then those that only their side has, in theirs.
    """
    merged = _join(f"{path}:", (), ours, theirs, chosen)
    return (json.dumps(merged, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _compare(
    prefix: str,
    outer: tuple[str, ...],
    bases: Sequence[Mapping[str, Any]],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
) -> Iterable[Change[Any]]:
    for key in _keys(ours, theirs, *bases):
        place = (*outer, key)
        values = [side.get(key, ABSENT) for side in (ours, theirs, *bases)]
        if all(isinstance(value, dict) for value in values[:2]):
            yield from _compare(
                prefix, place, [base if isinstance(base, dict) else {} for base in values[2:]], values[0], values[1]
            )
        else:
            yield compare(_name(prefix, place), "key", values[2:], values[0], values[1], mark=_mark, absent=ABSENT)


def _join(
    prefix: str,
    outer: tuple[str, ...],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    chosen: Mapping[str, Any],
) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key in _keys(ours, theirs):
        place, one, two = (*outer, key), ours.get(key, ABSENT), theirs.get(key, ABSENT)
        if isinstance(one, dict) and isinstance(two, dict):
            merged[key] = _join(prefix, place, one, two, chosen)
        elif (value := chosen[_name(prefix, place)]) is not ABSENT:
            merged[key] = value
    return merged


def _name(prefix: str, place: tuple[str, ...]) -> str:
    return prefix + ".".join(place)


def _keys(*sides: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(key for side in sides for key in side))


def _mark(value: Any) -> str:
    """Return a text that is equal for equal JSON: `true` is not `1`, and `1` is not `1.0`."""
    return "" if value is ABSENT else json.dumps(value, sort_keys=True)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
