"""A revert that waits happens when it is due, once, or says why it did not."""

import datetime as dt

import pytest

from birdbone.vault import delete_ref, log, read_ref, read_version
from birdbone.vault.errors import BadRevertError, DecisionError, UnknownNameError, UnsupportedFormatError
from birdbone.vault.reverting import (
    AtTime,
    RevertOrder,
    WhenRule,
    cancel_revert,
    due_reverts,
    execute_due_reverts,
    schedule_revert,
    scheduled_reverts,
)
from birdbone.vault.reverting.rules import ThresholdRule
from birdbone.vault.reverting.schedule import _write as write_record

from .lines import grow

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=1)
RULE = ThresholdRule(kind="threshold", name="jump", measurement="perplexity", limit=0.03, for_waves=2)


def schedule(vault, when=None, *, now=NOW, **order):
    asked = RevertOrder(ref="main", message="As agreed", **order)
    return schedule_revert(vault, asked, when or AtTime(at=LATER), now=now, by="Ada")


def test_a_revert_waits_for_its_time_and_then_happens_once(vault):
    made = grow(vault, "main", [10, 11])
    record = schedule(vault, to=made[0].id[3:13])
    assert record.order.to == made[0].id
    assert due_reverts(vault, NOW) == execute_due_reverts(vault, NOW) == []
    assert due_reverts(vault, LATER) == [record]
    (done,) = execute_due_reverts(vault, LATER)
    assert (done.state, done.id, done.version) == ("done", record.id, read_ref(vault, "main"))
    version = read_version(vault, "main")
    assert (version.artefact, version.author, version.time) == (made[0].artefact, "Ada", LATER)
    assert execute_due_reverts(vault, LATER) == []
    assert scheduled_reverts(vault) == [done]
    assert len(log(vault, "main")) == 3


def test_a_crash_between_the_commit_and_the_note_does_not_repeat_it(vault):
    made = grow(vault, "main", [10, 11])
    record = schedule(vault, to=made[0].id)
    (done,) = execute_due_reverts(vault, LATER)
    grow(vault, "main", [10.5], first=2)
    write_record(vault, record)  # as if the note had not been written
    assert execute_due_reverts(vault, LATER) == [done]
    assert len(log(vault, "main")) == 4


def test_a_revert_waits_until_a_rule_fires(vault):
    made = grow(vault, "main", [10, 11])
    schedule(vault, WhenRule(rule=RULE), to=made[0].id)
    assert due_reverts(vault, LATER) == []
    grow(vault, "main", [11], first=2)
    (done,) = execute_due_reverts(vault, LATER)
    assert (done.state, read_version(vault, "main").artefact) == ("done", made[0].artefact)


def test_a_cancelled_revert_never_happens(vault):
    made = grow(vault, "main", [10, 11])
    record = schedule(vault, to=made[0].id)
    cancelled = cancel_revert(vault, record.id, now=NOW, by="Bob", reason="No need")
    assert (cancelled.state, cancelled.note) == ("cancelled", "Bob: No need")
    assert execute_due_reverts(vault, LATER) == []
    assert read_ref(vault, "main") == made[1].id
    with pytest.raises(DecisionError):
        cancel_revert(vault, record.id, now=NOW, by="Bob", reason="Twice")


def test_one_that_cannot_be_done_any_more_fails_with_its_reason_and_the_next_one_happens(vault):
    made = grow(vault, "main", [10, 11])
    schedule(vault, undo=made[1].id, tensors=("a.0.*",))
    schedule(vault, to=made[0].id, now=NOW + dt.timedelta(hours=1))
    grow(vault, "main", [12], first=2)
    failed, done = execute_due_reverts(vault, LATER)
    assert (failed.state, done.state) == ("failed", "done")
    assert "a.0.w" in failed.note
    assert failed.note.startswith("vault.revert_conflict")


def test_one_whose_ref_is_gone_says_so(vault):
    made = grow(vault, "main", [10, 11])
    schedule(vault, WhenRule(rule=RULE), to=made[0].id)
    delete_ref(vault, "main")
    (failed,) = execute_due_reverts(vault, LATER)
    assert (failed.state, failed.note.split(":")[0]) == ("failed", "vault.unknown_name")


def test_what_is_there_already_needs_no_commit(vault):
    made = grow(vault, "main", [10, 11])
    schedule(vault, to=made[1].id)
    (done,) = execute_due_reverts(vault, LATER)
    assert (done.state, done.version, read_ref(vault, "main")) == ("done", None, made[1].id)


def test_an_order_that_could_not_be_carried_out_is_refused_at_once(vault):
    made = grow(vault, "main", [10, 11])
    for wrong, error in (
        ({"to": "nobody"}, UnknownNameError),
        ({"undo": made[0].id}, BadRevertError),
        ({"to": made[0].id, "layers": ("seven",)}, BadRevertError),
        ({}, BadRevertError),
    ):
        with pytest.raises(error):
            schedule(vault, **wrong)
    assert scheduled_reverts(vault) == []


def test_a_record_that_is_not_understood_is_said(vault):
    folder = vault.folder / "reverts" / "scheduled"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("{}")
    with pytest.raises(UnsupportedFormatError):
        due_reverts(vault, NOW)
