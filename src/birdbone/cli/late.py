"""Groups whose commands are built when they are asked for.

Typer builds every command of every group before it looks at what a person typed, and reads the types of all their
options for it: a seventh of a second at each start, a tenth of what a commit costs. One command takes a thousandth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info, get_command_name, get_group_from_info


class _Commands(Mapping[str, Any]):
    """The commands of a group by name, each built when it is first read."""

    def __init__(self, source: typer.Typer) -> None:
        self._single = {
            info.name or get_command_name(info.callback.__name__): info
            for info in source.registered_commands
            if info.callback is not None
        }
        self._groups = {str(info.name): info for info in source.registered_groups}
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = self._build(name)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._single
        yield from self._groups

    def __len__(self) -> int:
        return len(self._single) + len(self._groups)

    def _build(self, name: str) -> Any:
        settings: dict[str, Any] = {"pretty_exceptions_short": True, "rich_markup_mode": None}
        if name in self._single:
            return get_command_from_info(self._single[name], **settings)
        return get_group_from_info(self._groups[name], suggest_commands=True, **settings)


def late(source: typer.Typer) -> typer.Typer:
    """Return a group with the help and the commands of `source`, which builds one command when it is asked for it."""

    class Late(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = _Commands(source)  # type: ignore[assignment]  # nobody writes to it

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer passes it
            return list(self.commands)

    return typer.Typer(cls=Late, help=source.info.help, no_args_is_help=True, rich_markup_mode=None)
