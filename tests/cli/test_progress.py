"""What a person sees while a run works; a screen that is gone must not hurt the run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from birdbone.cli.output import console_of
from birdbone.cli.progress import LiveScreen, PlainScreen, RunDisplay, Screen
from birdbone.core import Workspace
from birdbone.core.database import connect
from birdbone.core.outbox import publish

from .recorded import record_run

RUN = "demo-20260101-000000-aaaa"


class ClosedStream(io.StringIO):
    """A pipe whose reader went away."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture
def begun_run(workspace: Workspace) -> str:
    return record_run(workspace, RUN, num_steps=1, status="running")


def plain(stream: io.StringIO, *, is_verbose: bool = False) -> Screen:
    return PlainScreen(console_of(stream), is_verbose=is_verbose)


def record(workspace: Workspace, event: str, /, **payload: object) -> None:
    with connect(workspace.database_url).begin() as connection:
        publish(connection, topic=RUN, kind=event, payload=payload)


def test_only_what_happens_from_now_on_is_told(workspace: Workspace, begun_run: str) -> None:
    stream = io.StringIO()
    with RunDisplay(workspace, begun_run, plain(stream)) as display:
        record(workspace, "step_started", label="wave-1", kind="waves")
        display.listen("wave-1", "shed and refit", 1, 10)
        notes = {"verdict": "good"}
        values = {"perplexity": 20.2, "perplexity_ratio": 1.01, "sparsity": 0.1}
        figures = [{"name": name, "value": value, "artefact": "b3:00"} for name, value in values.items()]
        record(workspace, "step_done", label="wave-1", kind="waves", figures=figures, notes=notes)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "wave-1: started"
    assert lines[1].startswith("wave-1: done: perplexity 20.20 (+1.00 %), sparsity 10.0 %, good, ")
    assert len(lines) == 2


def test_a_step_is_told_as_soon_as_the_next_one_reports(workspace: Workspace, begun_run: str) -> None:
    stream = io.StringIO()
    display = RunDisplay(workspace, begun_run, plain(stream))
    display.listen("wave-1", "heal", 0, 2)
    record(workspace, "step_done", label="wave-1", kind="waves", figures=[], notes={"verdict": "undone"})
    display.listen("wave-1", "heal", 1, 2)
    assert stream.getvalue() == ""
    display.listen("quantize", "rounding", 0, 2)
    assert "undone" in stream.getvalue()


def test_verbose_tells_each_part_of_a_step_once(workspace: Workspace, begun_run: str) -> None:
    stream = io.StringIO()
    display = RunDisplay(workspace, begun_run, plain(stream, is_verbose=True))
    for what in ("shed", "shed", "heal"):
        display.listen("wave-1", what, 1, 4)
    assert stream.getvalue() == "wave-1: shed (1/4)\nwave-1: heal (1/4)\n"


def test_a_long_line_is_not_broken_where_nobody_looks() -> None:
    stream = io.StringIO()
    plain(stream).say(Text("word " * 60))
    assert stream.getvalue().count("\n") == 1


def test_a_screen_that_is_gone_does_not_hurt_the_run(workspace: Workspace, begun_run: str) -> None:
    with RunDisplay(workspace, begun_run, plain(ClosedStream(), is_verbose=True)) as display:
        record(workspace, "step_started", label="wave-1", kind="waves")
        display.listen("wave-1", "heal", 1, 2)
        display.listen("wave-2", "heal", 1, 2)


def test_a_terminal_gets_a_bar_and_is_left_as_it_was() -> None:
    stream = io.StringIO()
    screen = LiveScreen(Console(file=stream, force_terminal=True, width=100))
    screen.show("wave-1", "heal", 1, 4)
    screen.show("wave-1", "a part of unknown length", 0, 0)
    screen.say(Text("wave-1: done [not markup]"))
    screen.close()
    shown = stream.getvalue()
    assert "wave-1: done [not markup]" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is back"


def test_a_console_whose_reader_is_gone_raises_and_ends_nothing() -> None:
    """Rich by itself would point standard output nowhere and end the process: the run's result would be lost."""
    with pytest.raises(BrokenPipeError):
        console_of(ClosedStream()).print("anything")
