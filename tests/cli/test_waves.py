"""`birdbone waves`: what it shows, exports and asks."""

from __future__ import annotations

import csv
import io
import json

import pytest

from birdbone.core import Workspace
from birdbone.core.database import connect
from birdbone.core.outbox import read_events
from birdbone.pipeline import repository

from .conftest import Call
from .recorded import record_run


@pytest.fixture
def open_run(workspace: Workspace) -> str:
    """A run that was stored and never began: its waves are all to come."""
    recipe = {"model": "starter", "steps": [{"kind": "seed"}, {"kind": "waves"}, {"kind": "quantize"}]}
    with connect(workspace.database_url).begin() as connection:
        repository.insert_run(connection, run_id="demo-open", name="demo", recipe=recipe, environment={})
    return "demo-open"


def test_it_shows_every_wave_and_says_what_was_not_measured(call: Call, finished_run: str) -> None:
    done = call("waves", "show", finished_run)
    assert done.exit_code == 0, done.stderr
    assert "worst layer" in done.stdout
    assert "undone" in done.stdout
    assert "not measured" in done.stdout


def test_csv_and_json_hold_the_same_rows(call: Call, finished_run: str) -> None:
    rows = list(csv.DictReader(io.StringIO(call("waves", "show", finished_run, "--csv").stdout)))
    data = json.loads(call("waves", "show", finished_run, "--json").stdout)
    assert data["run"] == finished_run
    assert len(rows) == len(data["waves"]) > 0
    assert [row["fate"] for row in rows] == [wave["fate"] for wave in data["waves"]]
    assert [float(row["perplexity"]) for row in rows] == [wave["perplexity"] for wave in data["waves"]]
    assert {row["forecast"] for row in rows} == {""}


@pytest.mark.parametrize(
    ("request_word", "effect"),
    [
        ("pause", "held before its next wave"),
        ("step", "one wave will be made"),
        ("resume", "will go on"),
        ("stop", "no other wave"),
    ],
)
def test_a_request_is_recorded_and_its_effect_said(
    call: Call, workspace: Workspace, open_run: str, request_word: str, effect: str
) -> None:
    done = call("waves", request_word, open_run, "--author", "mira")
    assert (done.exit_code, done.stdout) == (0, "")
    assert effect in done.stderr
    assert f"birdbone run --resume {open_run}" in done.stderr
    with connect(workspace.database_url).connect() as connection:
        (event,) = read_events(connection, topic=open_run)
    assert (event.kind, event.payload) == (f"waves_{request_word}_asked", {"author": "mira"})


def test_a_run_that_is_done_takes_no_request(call: Call, workspace: Workspace) -> None:
    run = record_run(workspace, "demo-20260101-000000-bbbb")
    done = call("waves", "pause", run)
    assert done.exit_code == 4
    assert "are over" in done.stderr
