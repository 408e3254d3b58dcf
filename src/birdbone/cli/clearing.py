"""Clearing a workspace: what would go, whether that is agreed, and what went."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import typer

from birdbone.cli import words
from birdbone.cli.attendance import processes_at_work
from birdbone.cli.errors import NotConfirmedError
from birdbone.core import Workspace
from birdbone.pipeline import service
from birdbone.pipeline.errors import RunBusyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearing:
    """What went, or would go. Objects are kept also while a run that has not ended may need them."""

    runs: tuple[str, ...]
    num_objects: int
    size_bytes: int
    is_dry_run: bool
    are_objects_kept: bool

    @property
    def amount(self) -> str:
        """How much goes, in words."""
        return f"{words.count(len(self.runs), 'run')} and {words.count(self.num_objects, 'object')}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def in_words(self) -> str:
        """Return it in one line a thing."""
        would = "would be " if self.is_dry_run else ""
        lines = [f"{would}forgotten: {run}" for run in self.runs]
        objects = f"{words.count(self.num_objects, 'object')}, {words.size(self.size_bytes)}"
        if self.are_objects_kept and not self.is_dry_run and self.num_objects:
            lines.append(f"kept for now: {objects}: a run that has not ended may need them")
        else:
            lines.append(f"{would}freed: {objects} that no ref needs")
        return "\n".join(lines)


def clear(workspace: Workspace, names: Sequence[str], *, is_dry_run: bool) -> Clearing:
    """Forget runs and free objects, or say what would go.

    Raises:
        RunNotFoundError: a name that is no run's.
        RunBusyError: a process works on a run that is named.
    """
    try:
        runs, garbage = service.remove_runs(workspace, names, is_dry_run=is_dry_run)
    except RunBusyError as error:
        raise _with_process(workspace, error) from error
    return Clearing(
        runs=tuple(runs),
        num_objects=garbage.num_objects,
        size_bytes=garbage.size_bytes,
        is_dry_run=is_dry_run,
        are_objects_kept=garbage.dry_run,
    )


def is_agreed(plan: Clearing, *, is_agreed_before: bool) -> bool:
    """Return whether the person agrees to what would go; there is nothing to ask where nothing would.

    Raises:
        NotConfirmedError: there is nobody to ask.
    """
    if is_agreed_before or not (plan.runs or plan.num_objects):
        return True
    if not sys.stdin.isatty():
        raise NotConfirmedError(f"{plan.amount} would go, and nobody said yes.")
    typer.echo(plan.in_words(), err=True)
    return typer.confirm("Remove them?", err=True)


def _with_process(workspace: Workspace, error: RunBusyError) -> RunBusyError:
    """Return the error with the process that is at work in its words, where that is one of this machine and person."""
    run_id = error.fields["run_id"]
    pid = processes_at_work(workspace).get(run_id)
    return error if pid is None else RunBusyError(f"Process {pid} works on {run_id}.", **error.fields)
