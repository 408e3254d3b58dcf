"""Following a run from another terminal: its log as it grows, and a live picture of its progress and its process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from birdbone.cli import timeline, words
from birdbone.cli.attendance import processes_at_work
from birdbone.core import Workspace
from birdbone.core.outbox import Event
from birdbone.pipeline import service
from birdbone.watch import ResourceSample, sample_resources

_POLL_SECONDS = 1.0
_FIRST_LOOK_SECONDS = 0.3  # CPU per cent is a difference of two looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One look at a run, its process (None: no process of ours works on it) and the machine."""

    view: service.RunView
    pid: int | None
    cpu_percent: float | None
    memory_bytes: int | None
    machine: ResourceSample

    @property
    def is_last(self) -> bool:
        """Whether nothing more will happen."""
        return self.pid is None

    def to_dict(self) -> dict[str, Any]:
        """Return the frame as plain data."""
        return {
            **timeline.run_data(self.view, is_at_work=self.pid is not None),
            "pid": self.pid,
            "cpu_percent": self.cpu_percent,
            "memory_bytes": self.memory_bytes,
            "load": self.machine.load,
            "memory_available_bytes": self.machine.memory_available_bytes,
            "disk_free_bytes": self.machine.disk_free_bytes,
        }


@dataclass(slots=True, kw_only=True)
class Watcher:
    """Looks at one run again and again. Keeps the process between looks, as CPU per cent needs two."""

    workspace: Workspace
    run_id: str
    _process: psutil.Process | None = field(default=None, init=False)

    def look(self) -> Frame:
        """Return how the run and its process stand now."""
        self._find_process()
        cpu_percent, memory_bytes = self._use()
        return Frame(
            view=service.view_run(self.workspace, self.run_id),
            pid=self._process.pid if self._process else None,
            cpu_percent=cpu_percent,
            memory_bytes=memory_bytes,
            machine=sample_resources(path=self.workspace.folder),
        )

    def frames(self) -> Iterator[Frame]:
        """Yield a frame a second until the run has ended."""
        while True:
            frame = self.look()
            yield frame
            if frame.is_last:
                return
            time.sleep(_POLL_SECONDS)

    def _find_process(self) -> None:
        pid = processes_at_work(self.workspace).get(self.run_id)
        if pid is None or self._process is None or self._process.pid != pid:
            self._process = None
            with contextlib.suppress(psutil.Error):
                self._process = psutil.Process(pid) if pid is not None else None
                if self._process is not None:
                    self._process.cpu_percent()
                    time.sleep(_FIRST_LOOK_SECONDS)

    def _use(self) -> tuple[float | None, int | None]:
        try:
            return (None, None) if self._process is None else (self._process.cpu_percent(), _memory(self._process))
        except psutil.Error:
            self._process = None
            return None, None


def picture(frame: Frame) -> RenderableType:
    """Return a frame as it is shown in a terminal."""
    view = frame.view
    state = timeline.state_of(view.run, is_at_work=frame.pid is not None)
    parts: list[RenderableType] = [Text(f"{view.run.id}  {state}", style="bold")]
    parts += [timeline.steps_table(view, is_at_work=frame.pid is not None), *_bar(view), Text(_process_line(frame))]
    parts.append(Text(_machine_line(frame.machine)))
    if state == timeline.INTERRUPTED:
        parts.append(Text(f"no process works on it: `birdbone run --resume {view.run.id}` goes on", style="yellow"))
    return Group(*parts)


def events(workspace: Workspace, run_id: str, *, phase: str | None, is_following: bool) -> Iterator[Event]:
    """Yield the events of a run in order; if asked to follow, also those to come, until the run has ended.

    Args:
        phase: a step's label or kind; None for all events.
    """
    last_id = 0
    while True:
        is_last = not is_following or run_id not in processes_at_work(workspace)
        for event in service.read_log(workspace, run_id, after_id=last_id):
            last_id = event.id
            if phase is None or phase in (event.payload.get("label"), event.payload.get("kind")):
                yield event
        if is_last:
            return
        time.sleep(_POLL_SECONDS)


def event_data(event: Event) -> dict[str, Any]:
    """Return an event as plain data."""
    payload = {**event.payload, "error": timeline.without_trace(event.payload.get("error"))}
    payload = payload if payload["error"] else event.payload
    return {"id": event.id, "at": event.at.isoformat(), "event": event.kind, **payload}


def _bar(view: service.RunView) -> list[RenderableType]:
    progress = next((step.progress for step in reversed(view.steps) if step.progress), None)
    if not progress or not progress["total"]:
        return []
    bar = Table.grid(padding=(0, 1))
    count = f"{progress['done']}/{progress['total']}"
    bar.add_row(
        Text(str(progress["what"])),
        ProgressBar(total=progress["total"], completed=progress["done"], width=30),
        Text(count),
    )
    return [bar]


def _process_line(frame: Frame) -> str:
    if frame.pid is None or frame.memory_bytes is None:
        return "process: none on this machine"
    return f"process {frame.pid}: CPU {frame.cpu_percent:.0f} %, memory {words.size(frame.memory_bytes)}"


def _machine_line(machine: ResourceSample) -> str:
    load = "" if machine.load is None else f"load {machine.load:.2f}, "
    memory, disk = words.size(machine.memory_available_bytes), words.size(machine.disk_free_bytes)
    return f"machine: {load}{memory} memory available, {disk} disk free"


def _memory(process: psutil.Process) -> int:
    size_bytes = int(process.memory_info().rss)
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            size_bytes += int(child.memory_info().rss)
    return size_bytes
