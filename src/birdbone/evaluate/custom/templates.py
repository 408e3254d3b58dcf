"""Text with places: `{name}` stands for a value, `{{` and `}}` for braces. Nothing else is read: no code, no format."""

from __future__ import annotations

from collections.abc import Callable
from string import Formatter


def places_of(template: str) -> tuple[str, ...]:
    """Return the names in a template, each once, in the order of their first place.

    Raises:
        ValueError: a brace stands alone, a place has no name, or more than a name.
    """
    found: dict[str, None] = {}
    for _, name, form, conversion in _parts(template):
        if name is None:
            continue
        if not name.strip() or form or conversion or "{" in name:
            raise ValueError(f"a place holds a name and nothing else: {template!r}; write {{{{ for a brace")
        found[name] = None
    return tuple(found)


def fill(template: str, value_of: Callable[[str], str]) -> str:
    """Return the template with each place filled by its value; what a value holds is not filled again.

    Args:
        template: checked by `places_of` before.
        value_of: gives the value of a name.
    """
    return "".join(literal + ("" if name is None else value_of(name)) for literal, name, _, _ in _parts(template))


def _parts(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{error} in {template!r}; write {{{{ or }}}} for a brace that is meant") from error
