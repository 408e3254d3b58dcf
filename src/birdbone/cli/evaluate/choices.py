"""Words that a person typed, checked against those that there are."""

from __future__ import annotations

from typing import Any, get_args

from birdbone.cli.errors import UsageError


def one_of(value: str, known: Any, option: str) -> Any:
    """Return `value` if it is one of `known`, a tuple or a literal type.

    Raises:
        UsageError: it is none of them.
    """
    names = known if isinstance(known, tuple) else get_args(known)
    if value not in names:
        raise UsageError(f"{option} takes {', '.join(names)}; {value!r} came.")
    return value
