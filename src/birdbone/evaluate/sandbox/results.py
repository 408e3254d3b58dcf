"""How a program ended, and behind which walls it ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Ending = Literal["passed", "failed", "exited", "timeout", "memory", "killed", "output", "forbidden"]
"""
- `passed`: the code ran to its end and every test held
- `failed`: an exception, of the code or of a test
- `exited`: it left by `sys.exit` or `os._exit` before the tests were over
- `timeout`: out of wall or processor time
- `memory`: a `MemoryError` that nobody caught
- `killed`: ended by a signal, such as a crash
- `output`: it printed more than allowed
- `forbidden`: it fell over something that the sandbox denies
"""

Layer = Literal[
    "process_group",
    "rlimits",
    "no_new_privs",
    "namespaces",
    "private_root",
    "throwaway_user",
    "landlock",
    "seccomp",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The walls that this machine gives."""

    standing: tuple[Layer, ...]
    missing: dict[Layer, str]
    """Those it does not give, and why."""
    is_enough: bool
    """Whether programs are run at all: without writes, without network, by namespaces or by Landlock and seccomp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """How one program ended."""

    ending: Ending
    exception: str | None
    """Name of the exception's class, where one ended it."""
    detail: str
    """The exception's message, or what happened. The program may have written it: text to show, not to trust."""
    signal_number: int | None
    stdout: str
    stderr: str
    wall_seconds: float
    layers: tuple[Layer, ...]

    @property
    def has_passed(self) -> bool:
        """Whether every test held."""
        return self.ending == "passed"
