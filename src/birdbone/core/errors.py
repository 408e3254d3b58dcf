"""The root of all errors.

```text
BirdboneError
├── WorkspaceError        core.workspace_*
├── BadConfigError        core.bad_config
├── YamlError             core.bad_yaml
├── DiskFullError         core.disk_full
└── one tree a room, drawn in that room's errors.py
```
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

ErrorKind = Literal["invalid", "not_found", "conflict", "denied", "unavailable", "cancelled", "internal"]

_EXIT_CODES: dict[ErrorKind, int] = {
    "internal": 1,
    "invalid": 2,
    "not_found": 3,
    "conflict": 4,
    "denied": 5,
    "unavailable": 6,
    "cancelled": 130,
}


class BirdboneError(Exception):
    """What went wrong, for a person and for a program.

    Class attributes `code` (stable, dotted: `room.what`) and `kind` are set by each subclass; `hint` says what to do.
    Fields beyond the message are kept in `fields` and shown by `--json` and in HTTP problems.
    """

    code: str = "core.internal"
    kind: ErrorKind = "internal"
    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.hint if hint is None else hint
        self.fields = fields

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data: code, kind, message, hint and its fields."""
        return {"code": self.code, "kind": self.kind, "message": self.message, "hint": self.hint, **self.fields}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return what `to_dict` was called on, as an error of this class: how a child's error crosses to its parent."""
        fields = dict(plain)
        code, kind = fields.pop("code"), fields.pop("kind")
        error = cls(fields.pop("message"), hint=fields.pop("hint"), **fields)
        error.code, error.kind = code, kind
        return error


def exit_code(kind: ErrorKind) -> int:
    """Return the process exit code of an error kind (documented in `docs/cli.md`)."""
    return _EXIT_CODES[kind]


class WorkspaceError(BirdboneError):
    """The workspace folder is missing, unreadable or of another format."""

    code = "core.workspace_missing"
    kind: ErrorKind = "not_found"
    hint = "Run `birdbone init` in the folder where you want to work."


class BadConfigError(BirdboneError):
    """A workspace's `config.yaml`, or a variable of the environment that overrides it, is wrong."""

    code = "core.bad_config"
    kind: ErrorKind = "invalid"
    hint = "`birdbone config --edit` opens it; BIRDBONE_* variables of the environment win over it."


class YamlError(BirdboneError):
    """A YAML file does not parse."""

    code = "core.bad_yaml"
    kind: ErrorKind = "invalid"


class DiskFullError(BirdboneError):
    """No room is left on the disk; nothing that was stored before is touched."""

    code = "core.disk_full"
    kind: ErrorKind = "unavailable"
    hint = "Free some space (`birdbone clean` lists what a workspace holds), then `birdbone run --resume RUN`."
