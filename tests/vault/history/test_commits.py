"""A commit is never lost, never made twice by one step, and says what it follows."""

import datetime as dt
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from birdbone.core import Measurement, digest_json
from birdbone.vault import (
    AmbiguousNameError,
    BadNameError,
    BadRecordError,
    CorruptObjectError,
    Lineage,
    MissingObjectError,
    RefConflictError,
    UnknownNameError,
    UnsupportedFormatError,
    commit,
    log,
    move_ref,
    open_vault,
    put_folder,
    read_manifest,
    read_version,
    refs,
    resolve,
    resolve_artefact,
    verify,
)
from birdbone.vault.store.objects import put_record

from ..checkpoints import float32, write_model

NOBODY = "b3:" + "0" * 64

COMMIT_IN_A_LOOP = """
import struct, sys
from pathlib import Path
from birdbone.vault import commit, open_vault, put_folder
store, folder, who, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
vault = open_vault(store)
folder.mkdir()
for turn in range(number):
    (folder / "weights.bin").write_bytes(struct.pack("<q", turn) * 4096)
    version = commit(vault, put_folder(vault, folder, kind="model"), ref="main", message=f"{who} {turn}", author=who)
    print(version.id, flush=True)
"""


@pytest.fixture
def artefact(vault, tmp_path):
    return put_folder(vault, write_model(tmp_path / "model", a=float32(1.0)), kind="model")


@pytest.fixture
def other_artefact(vault, tmp_path):
    return put_folder(vault, write_model(tmp_path / "other", a=float32(2.0)), kind="model")


def test_a_version_keeps_who_when_why_and_what_was_measured(vault, artefact):
    measurement = Measurement(name="perplexity", value=12.5, unit="1", method="4096 tokens", artefact=artefact)
    lineage = Lineage(run_id="demo-1", step="wave-3", datasets=(NOBODY,))
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    made = commit(
        vault,
        artefact,
        ref="main",
        message="Shed a tenth",
        measurements=[measurement, {"name": "size", "value": 4, "unit": "byte"}],
        lineage=lineage,
        author="Ada",
        time=moment,
    )
    read = read_version(vault, "main")
    assert read == made
    assert (read.author, read.time, read.message, read.lineage) == ("Ada", moment, "Shed a tenth", lineage)
    assert read.measurements[0] == measurement.model_dump(mode="json")
    assert read.id == made.id == digest_json(read.model_dump(mode="json")) == refs(vault)["refs/heads/main"]


def test_the_version_knows_its_time_and_the_artefact_does_not(vault, artefact):
    one, two = (commit(vault, artefact, ref=name, message="same") for name in ("one", "two"))
    assert one.artefact == two.artefact
    assert one.time != two.time
    assert one.id != two.id


def test_a_branch_grows_and_the_log_reads_newest_first(vault, artefact):
    made = [commit(vault, artefact, ref="main", message=str(number)) for number in range(4)]
    assert [version.id for version in log(vault, "main")] == [version.id for version in reversed(made)]
    assert [version.parents for version in made] == [(), *((version.id,) for version in made[:-1])]
    assert log(vault, "main", limit=2) == log(vault)[:2]


def test_a_child_comes_before_its_parents_even_when_clocks_disagree(vault, artefact):
    def commit_at(year: int, ref: str, parents: list[str]) -> str:
        time = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
        return commit(vault, artefact, ref=ref, message=ref, parents=parents, time=time).id

    root = commit_at(2030, "main", [])
    left = commit_at(2020, "left", [root])
    right = commit_at(2029, "right", [root])
    far = commit_at(2010, "right", [right])
    merge = commit_at(2000, "left", [left, far, root])
    assert [version.id for version in log(vault, "left")] == [merge, left, far, right, root]


def test_a_step_that_runs_again_commits_nothing_new(vault, artefact):
    lineage = Lineage(run_id="demo-1", step="wave-3")
    first = commit(vault, artefact, ref="main", message="wave", lineage=lineage)
    again = commit(vault, artefact, ref="main", message="wave", lineage=lineage)
    with_parents = commit(vault, artefact, ref="main", message="wave", lineage=lineage, parents=[], expected=None)
    assert first == again == with_parents
    assert len(log(vault, "main")) == 1


def test_another_step_or_another_artefact_is_a_new_version(vault, artefact, other_artefact):
    commit(vault, artefact, ref="main", message="", lineage=Lineage(run_id="demo-1", step="wave-3"))
    commit(vault, artefact, ref="main", message="", lineage=Lineage(run_id="demo-1", step="wave-4"))
    commit(vault, other_artefact, ref="main", message="", lineage=Lineage(run_id="demo-1", step="wave-4"))
    assert len(log(vault, "main")) == 3


def test_a_commit_that_does_not_follow_what_the_branch_holds_is_refused(vault, artefact, other_artefact):
    first = commit(vault, artefact, ref="main", message="first")
    second = commit(vault, other_artefact, ref="main", message="second")
    for choice in ({"parents": [first.id]}, {"parents": []}, {"expected": first.id}, {"expected": None}):
        with pytest.raises(RefConflictError):
            commit(vault, artefact, ref="main", message="late", **choice)
    assert resolve(vault, "main") == second.id


def test_a_branch_may_be_led_elsewhere_by_who_says_where_it_is(vault, artefact):
    first = commit(vault, artefact, ref="main", message="first")
    second = commit(vault, artefact, ref="main", message="second")
    third = commit(vault, artefact, ref="main", message="third", parents=[first.id], expected=second.id)
    assert [version.id for version in log(vault, "main")] == [third.id, first.id]


def test_what_is_missing_cannot_be_committed_or_followed(vault, artefact):
    with pytest.raises(MissingObjectError):
        commit(vault, NOBODY, ref="main", message="nothing")
    with pytest.raises(UnknownNameError):
        commit(vault, artefact, ref="main", message="no parent", parents=[NOBODY])
    assert refs(vault) == {}


@pytest.mark.parametrize("row", [{"value": float("nan")}, {"value": float("inf")}, {"value": {1, 2}}, {"a": object()}])
def test_a_measurement_that_is_not_plain_json_is_refused(vault, artefact, row):
    with pytest.raises(BadRecordError):
        commit(vault, artefact, ref="main", message="bad", measurements=[row])
    assert refs(vault) == {}


def test_names_mean_tags_then_branches_then_digests(vault, artefact, other_artefact):
    first = commit(vault, artefact, ref="main", message="first")
    second = commit(vault, other_artefact, ref="main", message="second")
    move_ref(vault, "refs/tags/main", first.id)
    assert resolve(vault, "main") == first.id
    assert resolve(vault, "refs/heads/main") == resolve(vault, "HEAD") == second.id
    assert resolve(vault, second.id) == resolve(vault, second.id[:20]) == resolve(vault, second.id[3:12]) == second.id
    assert resolve_artefact(vault, "HEAD") == resolve_artefact(vault, other_artefact[3:14]) == other_artefact


@pytest.mark.parametrize("name", ["", "nobody", "abcde", "../x", NOBODY, "b3:", "refs/heads/x", "\0"])
def test_a_name_that_means_nothing_is_said(vault, artefact, name):
    commit(vault, artefact, ref="main", message="first")
    for find in (resolve, resolve_artefact):
        with pytest.raises(UnknownNameError):
            find(vault, name)


def test_a_beginning_that_several_versions_share_is_said(vault, artefact):
    folder = vault.objects / "versions" / "ab"
    folder.mkdir()
    for digit in "01":
        (folder / ("cdef" + digit * 58)).write_bytes(b"{}")
    with pytest.raises(AmbiguousNameError):
        resolve(vault, "abcdef")
    with pytest.raises(CorruptObjectError):
        read_version(vault, "abcdef0")


@pytest.mark.parametrize("record", [b"{}", b"[]", b"not json", b'{"format": "birdbone.artefact/9", "kind": "model"}'])
def test_a_record_that_is_not_understood_is_said(vault, record):
    artefact = put_record(vault, "artefacts", record)
    with pytest.raises(UnsupportedFormatError):
        read_manifest(vault, artefact)


def test_a_manifest_cannot_lead_out_of_its_folder(vault):
    file = {"layout": "file", "path": "../../x", "size_bytes": 0, "digest": NOBODY, "sha256": "0" * 64}
    record = {"format": "birdbone.artefact/1", "kind": "model", "files": [file]}
    artefact = put_record(vault, "artefacts", json.dumps(record).encode())
    with pytest.raises(BadNameError, match=r"\.\./\.\./x"):
        read_manifest(vault, artefact)


def test_processes_that_commit_at_once_lose_nothing(vault, tmp_path):
    children = [start_committing(vault, tmp_path / who, who=who, number=12) for who in ("ada", "bob", "cyd")]
    printed = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    history = [version.id for version in log(vault, "main")]
    assert sorted(history) == sorted(version for lines in printed for version in lines)
    assert len(history) == 36
    assert verify(vault).is_sound


def test_a_process_that_is_killed_loses_no_commit_that_it_told_of(vault, tmp_path):
    choice = random.Random(7)
    told: list[str] = []
    for turn in range(5):
        child = start_committing(vault, tmp_path / str(turn), who=str(turn), number=10_000)
        told.append(child.stdout.readline().strip())
        time.sleep(choice.uniform(0, 0.15))
        os.kill(child.pid, signal.SIGKILL)
        told += [line for line in child.communicate()[0].split("\n") if len(line) == 67]
        assert child.returncode == -signal.SIGKILL
        again = open_vault(vault.folder)
        assert verify(again).is_sound
        assert set(told) <= {version.id for version in log(again, "main")}
    commit(vault, resolve_artefact(vault, "main"), ref="main", message="after the crashes")
    assert len(log(vault, "main")) > len(told)


def start_committing(vault, folder, *, who: str, number: int) -> subprocess.Popen:
    arguments = [sys.executable, "-c", COMMIT_IN_A_LOOP, str(vault.folder), str(folder), who, str(number)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
