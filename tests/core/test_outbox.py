import datetime as dt
from pathlib import Path

import pytest

from birdbone.core.database import connect
from birdbone.core.outbox import publish, read_events


def test_events_of_a_topic_come_back_in_order_and_from_where_one_left_off(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'one.db'}")
    with engine.begin() as connection:
        for number in range(3):
            publish(connection, topic="run-a", kind="tick", payload={"number": number})
            publish(connection, topic="run-b", kind="tick", payload={"number": -number})
    with engine.connect() as connection:
        events = read_events(connection, topic="run-a")
        assert [event.payload["number"] for event in events] == [0, 1, 2]
        later = read_events(connection, topic="run-a", after_id=events[0].id)
    assert [event.payload["number"] for event in later] == [1, 2]
    assert all(abs(dt.datetime.now(dt.UTC) - event.at) < dt.timedelta(minutes=1) for event in events)


def test_an_event_is_gone_with_the_change_that_it_tells_of(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'two.db'}")

    def fail_after_telling() -> None:
        with engine.begin() as connection:
            publish(connection, topic="run", kind="step_done", payload={})
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError):
        fail_after_telling()
    with engine.connect() as connection:
        assert read_events(connection, topic="run") == []
