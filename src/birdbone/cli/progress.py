"""What a person sees of a run while it works, on standard error: a live bar in a terminal, plain lines elsewhere.

The run reports from a thread of its own and must never be hurt by a screen: when standard error is gone, so is talk.
What a step came to is read from the run's log as soon as the next step reports, and once more at the end.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from birdbone.cli import words
from birdbone.cli.output import talk_console
from birdbone.core import Workspace
from birdbone.core.outbox import Event
from birdbone.pipeline import service

_STYLES = {"good": "green", "pass": "green", "probation": "yellow", "warn": "yellow", "undone": "red", "fail": "red"}


class Screen(Protocol):
    """Shows parts of steps as they go, and lines that stay."""

    def show(self, label: str, what: str, done: int, total: int) -> None:
        """Show how far the step in hand is."""
        ...

    def say(self, line: Text) -> None:
        """Print a line that stays."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


class LiveScreen:
    """A bar for the step in hand; lines of ended steps stay above it."""

    def __init__(self, console: Console) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True)
        self._task: TaskID | None = None
        self._part = ""
        self._progress.start()

    def show(self, label: str, what: str, done: int, total: int) -> None:
        """Show how far the step in hand is; the clock starts anew with each part."""
        part = f"{label}  {what}"
        if part != self._part or self._task is None:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task, self._part = self._progress.add_task(part, total=total or None), part
        self._progress.update(self._task, completed=done, total=total or None)

    def say(self, line: Text) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


class PlainScreen:
    """A line for each event; each part of a step too, if asked for. No colour, no movement."""

    def __init__(self, console: Console, *, is_verbose: bool) -> None:
        self._console = console
        self._is_verbose = is_verbose
        self._part = ""

    def show(self, label: str, what: str, done: int, total: int) -> None:
        """Print a line where a new part of a step begins."""
        part = f"{label}: {what}"
        if self._is_verbose and part != self._part:
            self.say(Text(f"{part} ({done}/{total})"))
        self._part = part

    def say(self, line: Text) -> None:
        """Print a line."""
        self._console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Do nothing."""


class RunDisplay:
    """Follows one run: give its `listen` to the run, and use it in a `with`."""

    def __init__(self, workspace: Workspace, run_id: str, screen: Screen) -> None:
        self._workspace = workspace
        self._run_id = run_id
        self._screen = screen
        self._label = ""
        self._started: dict[str, dt.datetime] = {}
        log = service.read_log(workspace, run_id)
        self._last_id = log[-1].id if log else 0

    def listen(self, label: str, what: str, done: int, total: int) -> None:
        """Show progress; when another step reports, first say what the one before it came to."""
        with contextlib.suppress(OSError, SQLAlchemyError):
            if label != self._label:
                self._label = label
                self.catch_up()
            self._screen.show(label, what, done, total)

    def catch_up(self) -> None:
        """Say what was written to the run's log since the last time."""
        for event in service.read_log(self._workspace, self._run_id, after_id=self._last_id):
            self._last_id = event.id
            if event.kind == "step_started":
                self._started[str(event.payload["label"])] = event.at
            self._screen.say(_line(event, self._started.get(str(event.payload.get("label")))))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError, SQLAlchemyError):
            self.catch_up()
        with contextlib.suppress(OSError):
            self._screen.close()


def open_screen(*, is_verbose: bool) -> Screen:
    """Return a live screen if standard error is a terminal, a plain one elsewhere."""
    console = talk_console()
    return LiveScreen(console) if console.is_terminal else PlainScreen(console, is_verbose=is_verbose)


def _line(event: Event, started_at: dt.datetime | None) -> Text:
    if event.kind == "step_failed":  # why is said once, where the error leaves
        return Text(f"{event.payload['label']}: failed", style="red")
    took = ""
    if event.kind == "step_done" and started_at is not None:
        took = f", {words.duration((event.at - started_at).total_seconds())}"
    verdict = words.verdict(event.payload.get("notes") or {})
    return Text(words.describe_event(event) + took, style=_STYLES.get(verdict, ""))
