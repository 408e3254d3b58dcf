"""Rows of runs, steps and figures on a real database. Laws, not examples, where there is a law."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from birdbone.core import Measurement
from birdbone.core.database import connect
from birdbone.pipeline import repository

DIGEST = "b3:" + "0" * 64
names = st.text("abcdefghij_%\\", min_size=1, max_size=8)


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """An open transaction that is rolled back, on each kind of database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'test.db'}"
    else:
        url = request.getfixturevalue("postgresql_url")
    with connect(url).connect() as opened:
        yield opened


def add_run(connection: Connection, run_id: str) -> None:
    repository.insert_run(connection, run_id=run_id, name="small", recipe={"name": "small"}, environment={"cores": 2})


def start(connection: Connection, label: str, position: int = 0) -> None:
    repository.start_step(connection, run_id="run", label=label, kind="waves", position=position)


def row(name: str = "perplexity", value: float = 1.5, **fields: object) -> Measurement:
    return Measurement(name=name, value=value, unit="1", method="by hand", artefact=DIGEST, **fields)


def test_a_run_begins_as_running_and_keeps_what_it_was_given(connection: Connection) -> None:
    add_run(connection, "run")
    run = repository.find_run(connection, "run")
    assert run is not None
    assert (run.status, run.recipe, run.environment) == ("running", {"name": "small"}, {"cores": 2})
    assert run.created_at is not None
    assert (run.ended_at, run.error) == (None, None)
    assert repository.find_run(connection, "other") is None


@pytest.mark.parametrize("status", ["done", "failed", "stopped"])
def test_an_ended_run_has_a_time_and_loses_it_when_it_goes_on(connection: Connection, status: str) -> None:
    add_run(connection, "run")
    error = {"code": "x"} if status == "failed" else None
    repository.set_run_status(connection, "run", status, error=error)
    run = repository.find_run(connection, "run")
    assert run is not None
    assert (run.status, run.error) == (status, error)
    assert run.ended_at is not None
    repository.set_run_status(connection, "run", "running")
    run = repository.find_run(connection, "run")
    assert run is not None
    assert (run.status, run.ended_at, run.error) == ("running", None, None)


@given(run_ids=st.sets(names, max_size=6), prefix=names)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_prefix_finds_just_the_runs_that_begin_with_it(
    connection: Connection, run_ids: set[str], prefix: str
) -> None:
    """`_`, `%` and `\\` are letters here, not wildcards."""
    connection.rollback()
    for run_id in run_ids:
        add_run(connection, run_id)
    found = {run.id for run in repository.find_runs_by_prefix(connection, prefix)}
    assert found == {run_id for run_id in run_ids if run_id.startswith(prefix)}


def test_runs_are_listed_newest_first(connection: Connection) -> None:
    for run_id in ("first", "second", "third"):
        add_run(connection, run_id)
    assert [run.id for run in repository.list_runs(connection)] == ["third", "second", "first"]


def test_a_step_in_hand_shows_progress_and_an_ended_one_its_result(connection: Connection) -> None:
    add_run(connection, "run")
    start(connection, "wave-1")
    repository.set_step_progress(connection, "run", "wave-1", {"what": "heal", "done": 1, "total": 2})
    (step,) = repository.list_steps(connection, "run")
    assert (step.status, step.progress, step.result) == ("running", {"what": "heal", "done": 1, "total": 2}, None)
    repository.end_step(connection, "run", "wave-1", result={"artefacts": {}})
    (step,) = repository.list_steps(connection, "run")
    assert (step.status, step.progress, step.result) == ("done", None, {"artefacts": {}})
    assert step.ended_at is not None


def test_a_step_that_failed_and_is_begun_again_counts_its_tries_and_forgets_the_failure(
    connection: Connection,
) -> None:
    add_run(connection, "run")
    for number in (1, 2, 3):
        start(connection, "wave-1")
        (step,) = repository.list_steps(connection, "run")
        assert (step.num_tries, step.status, step.error) == (number, "running", None)
        repository.end_step(connection, "run", "wave-1", error={"code": "x"})
        (step,) = repository.list_steps(connection, "run")
        assert (step.status, step.error) == ("failed", {"code": "x"})


def test_steps_are_listed_in_the_order_in_which_they_ran(connection: Connection) -> None:
    add_run(connection, "run")
    for position, label in ((2, "quantize"), (0, "seed"), (1, "wave-1")):
        start(connection, label, position)
    assert [step.label for step in repository.list_steps(connection, "run")] == ["seed", "wave-1", "quantize"]


def test_figures_of_a_second_try_take_the_place_of_those_of_the_first(connection: Connection) -> None:
    add_run(connection, "run")
    repository.replace_measurements(connection, run_id="run", step="seed", rows=[row("size", 10)])
    repository.replace_measurements(connection, run_id="run", step="wave-1", rows=[row(value=2), row("rate", 3)])
    repository.replace_measurements(connection, run_id="run", step="wave-1", rows=[row(value=4)])
    found = [(figure.step, figure.name, figure.value) for figure in repository.list_measurements(connection, "run")]
    assert found == [("seed", "size", 10), ("wave-1", "perplexity", 4)]
    repository.replace_measurements(connection, run_id="run", step="wave-1", rows=[])
    assert [figure.step for figure in repository.list_measurements(connection, "run")] == ["seed"]


@given(
    value=st.floats(allow_nan=False, allow_infinity=False),
    ends=st.none() | st.tuples(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300)),
    sample_size=st.none() | st.integers(0, 2**31 - 1),
    basis=st.sampled_from(["measured", "estimated"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_figure_comes_back_as_it_was_stored(
    connection: Connection,
    value: float,
    ends: tuple[float, float] | None,
    sample_size: int | None,
    basis: str,
) -> None:
    connection.rollback()
    add_run(connection, "run")
    low, high = ends or (None, None)
    given_row = row(value=value, low=low, high=high, sample_size=sample_size, basis=basis)
    (stored,) = repository.replace_measurements(connection, run_id="run", step="seed", rows=[given_row])
    (found,) = repository.list_measurements(connection, "run")
    assert (stored.run_id, stored.step) == ("run", "seed")
    assert found == stored
    assert found.model_copy(update={"run_id": "", "step": "", "taken_at": None}) == given_row


def test_times_come_back_in_utc_and_say_so(connection: Connection) -> None:
    before = dt.datetime.now(dt.UTC)
    add_run(connection, "run")
    start(connection, "seed")
    repository.replace_measurements(connection, run_id="run", step="seed", rows=[row()])
    run = repository.find_run(connection, "run")
    (step,) = repository.list_steps(connection, "run")
    (figure,) = repository.list_measurements(connection, "run")
    assert run is not None
    for moment in (run.created_at, step.started_at, figure.taken_at):
        assert moment is not None
        assert before <= moment <= dt.datetime.now(dt.UTC)


def test_a_deleted_run_leaves_no_row_behind_and_no_other_run_harmed(connection: Connection) -> None:
    for run_id in ("run", "run-2"):
        add_run(connection, run_id)
        repository.start_step(connection, run_id=run_id, label="seed", kind="seed", position=0)
        repository.replace_measurements(connection, run_id=run_id, step="seed", rows=[row()])
    repository.delete_run(connection, "run")
    assert [run.id for run in repository.list_runs(connection)] == ["run-2"]
    assert (repository.list_steps(connection, "run"), repository.list_measurements(connection, "run")) == ([], [])
    assert (
        len(repository.list_steps(connection, "run-2")) == len(repository.list_measurements(connection, "run-2")) == 1
    )
