"""One thing in three versions: where it was changed, and whether that is a conflict."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

Value = TypeVar("Value")

What = Literal["tensor", "file", "key", "metadata"]
"""A tensor, a plain file, a key of a JSON file, or the metadata of a safetensors file."""
State = Literal["untouched", "ours", "theirs", "both", "conflict"]
"""Changed nowhere, on our side only, on theirs only, on both to the same, or on both differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[Value]):
    """One thing in the common ancestors (one, or several after a criss-cross), on our side and on theirs."""

    name: str
    what: What
    state: State
    bases: tuple[Value, ...]
    ours: Value
    theirs: Value
    reason: str = ""
    """Of a conflict: why it is one."""

    @property
    def is_conflict(self) -> bool:
        """Whether only a named strategy can settle it."""
        return self.state == "conflict"


def compare(
    name: str,
    what: What,
    bases: Sequence[Value],
    ours: Value,
    theirs: Value,
    *,
    mark: Callable[[Value], Hashable],
    absent: Any = None,
    explain: Callable[[Value, Value, Value], str] | None = None,
) -> Change[Value]:
    """Return how a thing changed. Two values with the same `mark` are the same.

    Where the common ancestors differ, nobody can say which side changed it, so unlike sides are a conflict.

    Args:
        absent: the value that stands for "not there".
        explain: more on a conflict of values that are all there, from base, ours and theirs.
    """
    before = {mark(base) for base in bases}
    one, two = mark(ours), mark(theirs)
    state: State
    if one == two:
        state = "untouched" if before == {one} else "both"
    elif before == {one}:
        state = "theirs"
    elif before == {two}:
        state = "ours"
    else:
        state = "conflict"
    reason = _reason(bases, ours, theirs, absent=absent, num_marks=len(before), explain=explain)
    return Change(
        name=name,
        what=what,
        state=state,
        bases=tuple(bases),
        ours=ours,
        theirs=theirs,
        reason=reason if state == "conflict" else "",
    )


def _reason(
    bases: Sequence[Value],
    ours: Value,
    theirs: Value,
    *,
    absent: Any,
    num_marks: int,
    explain: Callable[[Value, Value, Value], str] | None,
) -> str:
    if num_marks > 1:
        return "the common ancestors differ in it, and so do the sides"
    if ours is absent:
        return "deleted by us, changed by them"
    if theirs is absent:
        return "changed by us, deleted by them"
    if bases[0] is absent:
        return "added by both, differently"
    more = explain(bases[0], ours, theirs) if explain else ""
    return "changed by both, differently" + (f": {more}" if more else "")
