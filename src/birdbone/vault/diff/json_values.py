"""What differs between two JSON values, key by key down to the leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""Stands for a value that is not there, which is not the same as null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueChange:
    """A leaf that differs. `old` and `new` are JSON text; None where the key is not there."""

    path: str
    """Keys from the top, with `.` between, an index as `[3]`; a key with other signs than letters in `["..."]`."""
    change: Literal["added", "removed", "changed"]
    old: str | None
    new: str | None


def diff_values(old: Any, new: Any) -> tuple[ValueChange, ...]:
    """Return the leaves that differ, in the order of their keys. Lists are compared place by place.

    An object or list that is there on one side only is one change; so is a leaf that became an object.
    """
    return tuple(_walk(old, new, ""))


def _walk(old: Any, new: Any, path: str) -> Iterator[ValueChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _walk(old.get(key, ABSENT), new.get(key, ABSENT), _below(path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            yield from _walk(_item(old, index), _item(new, index), f"{path}[{index}]")
    elif _as_text(old) != _as_text(new):
        yield _change(old, new, path)


def _below(path: str, key: str) -> str:
    if not key.replace("_", "").replace("-", "").isalnum():
        return f"{path}[{json.dumps(key, ensure_ascii=False)}]"
    return f"{path}.{key}" if path else key


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else ABSENT


def _change(old: Any, new: Any, path: str) -> ValueChange:
    if old is ABSENT:
        return ValueChange(path=path, change="added", old=None, new=_as_text(new))
    if new is ABSENT:
        return ValueChange(path=path, change="removed", old=_as_text(old), new=None)
    return ValueChange(path=path, change="changed", old=_as_text(old), new=_as_text(new))


def _as_text(value: Any) -> str | None:
    """Return JSON text, which tells 1 from 1.0 and from true, as Python's `==` does not."""
    return None if value is ABSENT else json.dumps(value, sort_keys=True, ensure_ascii=False)
