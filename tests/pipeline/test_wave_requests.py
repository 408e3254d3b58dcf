"""What people ask of waves: holding, letting one through, going on, ending; and what comes of it at the next wave."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.core import Workspace
from birdbone.core.database import connect
from birdbone.core.outbox import Event, read_events
from birdbone.pipeline import repository
from birdbone.pipeline.errors import NoWavesLeftError
from birdbone.pipeline.wave_asking import ask_of_waves
from birdbone.pipeline.wave_requests import Standing, standing_of, wait_for_leave, write_request

from .report_fixtures import RECIPE

AT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
RUN_ID = "demo-made-up"


def events(*kinds: str) -> list[Event]:
    """Events by the words of requests; `wave-2` is that wave let through, anything else happened in between."""
    told = []
    for number, kind in enumerate(kinds, start=1):
        is_wave, is_request = kind.startswith("wave-"), kind in ("pause", "step", "resume", "stop")
        name = "wave_let_through" if is_wave else f"waves_{kind}_asked" if is_request else kind
        told.append(Event(topic=RUN_ID, kind=name, payload={"label": kind} if is_wave else {}, at=AT, id=number))
    return told


@pytest.mark.parametrize(
    ("asked", "standing"),
    [
        ((), "go"),
        (("pause",), "hold"),
        (("pause", "resume"), "go"),
        (("pause", "step"), "go"),
        (("step",), "go"),
        (("step", "wave-2"), "hold"),
        (("step", "wave-3"), "go"),  # the wave that was let through and whose process died
        (("step", "wave-2", "step"), "go"),
        (("step", "wave-3", "pause"), "hold"),
        (("step", "wave-2", "resume"), "go"),
        (("stop",), "end"),
        (("pause", "stop"), "end"),
        (("pause", "step_started", "step_done"), "hold"),
    ],
)
def test_the_table_of_standings(asked: tuple[str, ...], standing: Standing) -> None:
    assert standing_of(events(*asked), label="wave-3") == standing


@given(st.lists(st.sampled_from(["pause", "step", "resume", "wave-2", "step_done"]), max_size=12))
def test_the_last_request_decides_and_a_ticket_is_used_once(asked: list[str]) -> None:
    standing = standing_of(events(*asked), label="wave-9")
    assert standing_of(events(*asked, "resume"), label="wave-9") == "go"
    assert standing_of(events(*asked, "pause"), label="wave-9") == "hold"
    assert standing_of(events(*asked, "step"), label="wave-9") == "go"
    assert standing_of(events(*asked, "step", "wave-2"), label="wave-9") == "hold"
    assert standing_of(events(*asked, "step_done"), label="wave-9") == standing
    assert standing_of(events(*asked, "stop"), label="wave-9") == "end"


@pytest.fixture
def run_id(workspace: Workspace) -> str:
    with connect(workspace.database_url).begin() as connection:
        repository.insert_run(connection, run_id=RUN_ID, name="demo", recipe=RECIPE, environment={})
    return RUN_ID


def kinds_of(workspace: Workspace) -> list[str]:
    with connect(workspace.database_url).connect() as connection:
        return [event.kind for event in read_events(connection, topic=RUN_ID)]


def test_a_held_wave_waits_until_it_is_let_through_and_the_ticket_is_used(workspace: Workspace, run_id: str) -> None:
    engine, ticks = connect(workspace.database_url), []
    ask_of_waves(workspace, run_id, "pause", author="mira")

    def tick(what: str, done: int, total: int) -> None:
        ticks.append(what)
        with engine.begin() as connection:
            write_request(connection, run_id, "step", author="mira")

    assert wait_for_leave(engine, run_id, "wave-2", tick)
    assert ticks == ["held before wave-2"]
    assert kinds_of(workspace) == ["waves_pause_asked", "waves_step_asked", "wave_let_through"]
    with pytest.raises(KeyboardInterrupt):
        wait_for_leave(engine, run_id, "wave-3", interrupt)


def interrupt(what: str, done: int, total: int) -> None:
    raise KeyboardInterrupt


def test_waves_that_nobody_holds_begin_at_once_and_ended_ones_do_not(workspace: Workspace, run_id: str) -> None:
    engine = connect(workspace.database_url)
    assert wait_for_leave(engine, run_id, "wave-1", interrupt)
    assert kinds_of(workspace) == []
    ask_of_waves(workspace, run_id, "stop")
    assert not wait_for_leave(engine, run_id, "wave-2", interrupt)


def test_waves_that_were_ended_take_no_other_request(workspace: Workspace, run_id: str) -> None:
    ask_of_waves(workspace, run_id, "stop")
    with pytest.raises(NoWavesLeftError, match="ended by hand"):
        ask_of_waves(workspace, run_id, "resume")
    assert kinds_of(workspace) == ["waves_stop_asked"]


def test_a_run_whose_waves_are_over_takes_no_request(workspace: Workspace, run_id: str) -> None:
    with connect(workspace.database_url).begin() as connection:
        repository.start_step(connection, run_id=run_id, label="quantize", kind="quantize", position=5)
    with pytest.raises(NoWavesLeftError, match="are over"):
        ask_of_waves(workspace, run_id, "pause")
    assert kinds_of(workspace) == []


def test_a_run_without_waves_takes_no_request(workspace: Workspace) -> None:
    recipe = {**RECIPE, "steps": [{"kind": "seed"}]}
    with connect(workspace.database_url).begin() as connection:
        repository.insert_run(connection, run_id=RUN_ID, name="demo", recipe=recipe, environment={})
    with pytest.raises(NoWavesLeftError, match="has no waves"):
        ask_of_waves(workspace, RUN_ID, "pause")
