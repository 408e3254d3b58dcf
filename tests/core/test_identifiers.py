import datetime as dt

from birdbone.core import new_run_id


def test_ids_sort_by_time_and_do_not_meet() -> None:
    early = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    late = early + dt.timedelta(seconds=1)
    ids = {new_run_id("demo", now=early) for _ in range(20)}
    assert len(ids) == 20
    assert all(name.startswith("demo-20260102-030405-") for name in ids)
    assert max(ids) < new_run_id("demo", now=late)
