"""What was asked of which model, when and by what code is kept whole, and can be found by each of its names."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import birdbone
from birdbone.core import Measurement
from birdbone.evaluate.errors import AmbiguousRecordError, CorruptRecordError, UnknownRecordError
from birdbone.evaluate.history import History, Record, Subject, open_history
from birdbone.evaluate.history.environment import commit_of, describe_environment
from birdbone.evaluate.history.keeping import Keeper, keep_asked, keep_known, keep_measurements
from birdbone.evaluate.history.selection import newest_figures, records_of

from .recorded import DAY, digest, environment_of, keep, rights


@pytest.fixture
def history(tmp_path: Path) -> History:
    return open_history(tmp_path)


def test_a_record_says_who_what_when_and_by_what_code(history: History) -> None:
    result = rights(30, 40)
    record = keep(history, result, version=digest("d"), ref="refs/heads/main")
    (found,) = history.records()
    assert found == record
    assert (found.subject.model, found.subject.version, found.taken_at) == ("tiny", digest("d"), DAY)
    assert found.measurements[0].value == 0.75
    assert found.measurements[0].sample_size == 40
    assert found.evidence is not None
    assert (found.evidence.asked.benchmark, found.evidence.is_above_chance) == ("piqa", True)
    assert found.environment.packages["torch"] == "2.13.0"
    assert history.result_of(found) == result


@settings(max_examples=15)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 2**40), st.text(max_size=20))
def test_writing_and_reading_a_record_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, scores: list[bool], microseconds: int, model: str
) -> None:
    history = open_history(tmp_path_factory.mktemp("history"))
    result = rights(sum(scores), len(scores))
    moment = DAY + dt.timedelta(microseconds=microseconds)
    subject = Subject(model=model, artefact=result.artefact)
    record = keep_asked(history, result, subject=subject, environment=environment_of(), taken_at=moment)
    assert history.records() == [record]
    assert history.find(record.id) == record
    assert Record.model_validate_json(record.model_dump_json()).id == record.id


def test_the_same_record_twice_is_one_and_another_day_is_another(history: History) -> None:
    keep(history, rights(30, 40))
    keep(history, rights(30, 40))
    assert len(history.records()) == 1
    keep(history, rights(30, 40), day=1)
    assert [record.taken_at.day for record in history.records()] == [1, 2]
    assert len(list((history.folder / "results").glob("*.json"))) == 1


def test_a_known_answer_keeps_the_day_and_the_code_of_then(history: History) -> None:
    result = rights(30, 40)
    assert keep_known(history, result, subject=Subject(model="tiny", artefact=result.artefact), earlier=[]) is None
    first = keep(history, result)
    earlier = history.records()
    assert keep_known(history, result, subject=first.subject, earlier=earlier) == first
    named = Subject(model="main", artefact=result.artefact, version=digest("d"), ref="refs/heads/main")
    again = keep_known(history, result, subject=named, earlier=earlier)
    assert again is not None
    assert (again.subject, again.taken_at, again.environment) == (named, first.taken_at, first.environment)
    assert len(history.records()) == 2


def test_a_keeper_records_what_was_asked_and_what_was_known_once_each(history: History) -> None:
    subject = Subject(model="tiny", artefact=digest("a"))
    keeper = Keeper(history, subject, dtype="float32", num_threads=2)
    asked, known = rights(30, 40), rights(20, 40, name="hellaswag")
    keeper.keep_asked(asked)
    keeper.keep_known(asked)
    keeper.keep_known(known)  # nothing says when it was asked, so nothing is claimed
    (record,) = history.records()
    assert (record.environment.dtype, record.environment.threads) == ("float32", 2)
    assert record.environment.birdbone == birdbone.__version__
    assert record.environment.packages.keys() >= {"lm-eval", "torch", "transformers"}


def test_other_figures_are_kept_too(history: History) -> None:
    size = Measurement(name="size", value=1000, unit="byte", method="as stored", artefact=digest("a"))
    subject = Subject(model="tiny", artefact=digest("a"))
    record = keep_measurements(history, [size], subject=subject, environment=environment_of())
    assert history.records() == [record]
    assert history.result_of(record) is None


@pytest.mark.parametrize("content", ["{", "{}"])
def test_a_record_that_was_changed_is_refused(history: History, content: str) -> None:
    record = keep(history, rights(30, 40))
    path = history.folder / "records" / f"{record.id[3:]}.json"
    path.write_text(path.read_text().replace("0.75", "0.95"))
    with pytest.raises(CorruptRecordError, match="not what its name says"):
        history.records()
    path.write_text(content)
    with pytest.raises(CorruptRecordError, match="is no record"):
        history.find(record.id)


def test_a_result_that_was_changed_or_lost_is_refused(history: History) -> None:
    record = keep(history, rights(30, 40))
    (path,) = (history.folder / "results").glob("*.json")
    path.write_text(path.read_text().replace("item-39", "item-40"))
    with pytest.raises(CorruptRecordError, match="not what its name says"):
        history.result_of(record)
    path.unlink()
    with pytest.raises(CorruptRecordError, match="cannot be read"):
        history.result_of(record)


def test_what_a_crash_left_half_written_is_no_record(history: History) -> None:
    record = keep(history, rights(30, 40))
    (history.folder / "records" / f".{record.id[3:]}.json.k3j2").write_text('{"format"')
    (history.folder / "records" / ".half.json").write_text("{")
    assert history.records() == [record]


def test_a_record_is_found_by_its_first_digits(history: History) -> None:
    first, second = keep(history, rights(30, 40)), keep(history, rights(31, 40))
    assert history.find(first.id[3:11]) == first
    assert history.find(second.id[:12]) == second
    for name in ("b3:" + "0" * 64, first.id[3:8], ""):
        with pytest.raises(UnknownRecordError):
            history.find(name)
    twin = history.folder / "records" / f"{first.id[3:11]}{'0' * 56}.json"
    twin.write_text("{}")
    with pytest.raises(AmbiguousRecordError):
        history.find(first.id[3:11])


def _write_many(folder: Path, number: int) -> None:
    history = open_history(folder)
    for day in range(10):
        keep(history, rights(day + 1, 40), day=day, model=f"model-{number % 2}")


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write_many, args=(tmp_path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(open_history(tmp_path).records()) == 20


def test_the_commit_of_a_working_tree_is_told_and_that_it_was_changed(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert commit_of(tmp_path) is None
    (tmp_path / "a").write_text("1")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert commit_of(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert commit_of(tmp_path) == f"{head}-dirty"
    assert describe_environment(folder=tmp_path).commit == f"{head}-dirty"


def test_records_are_found_by_every_name_of_a_model(history: History) -> None:
    record = keep(history, rights(30, 40), version=digest("d"), ref="refs/heads/main")
    keep(history, rights(30, 40, artefact=digest("e")), model="other")
    for name in ("tiny", "models/tiny", "main", "refs/heads/main", digest("d"), "dddddd", digest("a"), record.id[3:12]):
        assert records_of(history.records(), name) == [record], name
    for name in ("", "tin", "ma", "heads/main", "ddddd"):
        assert records_of(history.records(), name) == [], name
    assert records_of(history.records(), "nothing", versions=[digest("d")]) == [record]


def test_the_newest_figures_are_of_the_model_that_was_judged_last(history: History) -> None:
    keep(history, rights(10, 40, artefact=digest("b")), day=0)
    old, new = keep(history, rights(20, 40), day=1), keep(history, rights(30, 40), day=2)
    other = keep(history, rights(25, 40, settings={"engine": "llama.cpp"}), day=1)
    assert newest_figures(history.records()) == [other, new]
    assert old not in newest_figures(history.records())
    assert newest_figures([]) == []
