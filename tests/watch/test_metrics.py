"""Every figure that goes into a sink comes out as it was, NaN and infinity included."""

import importlib.util
import json
import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from birdbone.core.database import connect
from birdbone.watch import (
    FanOutSink,
    MemorySink,
    MetricSink,
    MissingExtraError,
    NullSink,
    StoreSink,
    WandbSink,
    last_metric_id,
    read_metrics,
)


@pytest.fixture
def engine(tmp_path):
    return connect(f"sqlite:///{tmp_path / 'metrics.db'}")


def comparable(value: float) -> float | str:
    return "NaN" if math.isnan(value) else value  # the sign of zero is not kept: SQLite has one zero


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=64), max_size=20))
def test_a_stored_figure_is_read_back_equal_even_when_it_is_not_finite(values):
    engine = create_engine("sqlite://")
    with StoreSink(engine, "run", batch_rows=7) as sink:
        for step, value in enumerate(values):
            sink.log("loss", value, step=step)
    assert [comparable(row.value) for row in read_metrics(engine, "run", "loss")] == [
        comparable(value) for value in values
    ]


@given(st.floats())
def test_a_figure_as_json_never_has_a_number_that_json_lacks(value):
    sink = MemorySink()
    sink.log("loss", value, step=0)
    row = json.loads(json.dumps(sink.rows[0].to_dict(), allow_nan=False))
    assert row["value"] == (value if math.isfinite(value) else row["value"])
    assert isinstance(row["value"], float if math.isfinite(value) else str)


def test_a_batch_is_written_when_it_is_full_and_the_rest_on_close(engine):
    sink = StoreSink(engine, "run", batch_rows=3, flush_seconds=3600)
    for step in range(4):
        sink.log("loss", 1.0, step=step)
    assert len(read_metrics(engine, "run")) == 3
    sink.close()
    assert len(read_metrics(engine, "run")) == 4


def test_a_batch_is_written_when_it_has_waited_long_enough(engine):
    sink = StoreSink(engine, "run", flush_seconds=0)
    sink.log("loss", 1.0, step=0)
    assert len(read_metrics(engine, "run")) == 1


def test_the_rows_of_a_with_block_are_kept_when_it_ends_in_an_error(engine):
    def fail_midway() -> None:
        with StoreSink(engine, "run") as sink:
            sink.log("loss", 1.0, step=0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    assert len(read_metrics(engine, "run")) == 1


def test_a_step_that_runs_again_replaces_its_figures(engine):
    for attempt in (5.0, 4.0):
        with StoreSink(engine, "run", phase="heal") as sink:
            for step in range(3):
                sink.log("loss", attempt - step, step=step)
    assert [row.value for row in read_metrics(engine, "run", "loss")] == [4.0, 3.0, 2.0]


def test_runs_phases_and_names_are_kept_apart(engine):
    for run, phase in (("one", "heal"), ("one", "judge"), ("two", "heal")):
        with StoreSink(engine, run, phase=phase) as sink:
            sink.log("loss", 1.0, step=0, unit="nat/token")
            sink.log("perplexity", 2.0, step=0)
    rows = read_metrics(engine, "one")
    assert [(row.name, row.phase) for row in rows] == [
        ("loss", "heal"),
        ("loss", "judge"),
        ("perplexity", "heal"),
        ("perplexity", "judge"),
    ]
    assert {row.run_id for row in rows} == {"one"}
    assert rows[0].unit == "nat/token"
    assert rows[0].at.utcoffset().total_seconds() == 0


def test_a_screen_can_ask_for_what_came_since_it_looked(engine):
    assert last_metric_id(engine, "run") == 0
    with StoreSink(engine, "run") as sink:
        sink.log("loss", 1.0, step=0)
    seen = last_metric_id(engine, "run")
    with StoreSink(engine, "run") as sink:
        sink.log("loss", 0.5, step=1)
    assert [row.step for row in read_metrics(engine, "run", after_id=seen)] == [1]


def test_threads_that_log_at_once_lose_no_figure(engine):
    def work(number: int) -> None:
        for step in range(50):
            sink.log(f"loss.{number}", float(step), step=step)

    with StoreSink(engine, "run", batch_rows=7) as sink:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(read_metrics(engine, "run")) == 200


def test_a_sink_makes_its_table_in_a_database_that_was_opened_before_it():
    engine = create_engine("sqlite://")
    with StoreSink(engine, "run") as sink:
        sink.log("loss", 1.0, step=0)
    assert len(read_metrics(engine, "run")) == 1


def test_a_fan_out_hands_each_figure_to_every_sink():
    one, two = MemorySink(), MemorySink()
    sink: MetricSink = FanOutSink(one, NullSink(), two)
    sink.log("loss", 1.5, step=3)
    assert one.values("loss") == two.values("loss") == [1.5]


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed")
def test_a_missing_extra_says_how_to_install_it():
    with pytest.raises(MissingExtraError, match="not installed") as caught:
        WandbSink(project="bones", run_id="run")
    assert "birdbone[wandb]" in caught.value.hint
