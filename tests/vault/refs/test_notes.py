"""A note says more about a version without changing it, and nobody can unsay one without a trace."""

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdbone.vault import CorruptObjectError, UnknownNameError, delete_ref, move_ref, open_vault, read_version
from birdbone.vault.errors import AccessDeniedError, BadNoteError
from birdbone.vault.refs.audit import verify_audit
from birdbone.vault.refs.notes import (
    MAX_NOTE_CHARACTERS,
    Note,
    add_note,
    list_notes,
    noted_versions,
    read_note,
    remove_note,
)
from birdbone.vault.refs.permissions import grant, set_default_level
from birdbone.vault.roots import root_versions

from ..shapes import plant


@pytest.fixture
def ids(vault):
    planted = plant(vault, [(), (0,)])
    move_ref(vault, "main", planted[1])
    return planted


def test_a_note_keeps_who_when_and_what_and_leaves_the_version_alone(vault, ids):
    before = read_version(vault, "main")
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    note = add_note(vault, "main", "Seen by the board.\nKept.", author="Ada", time=moment)
    assert (note.version, note.text, note.author, note.time) == (ids[1], "Seen by the board.\nKept.", "Ada", moment)
    assert list_notes(open_vault(vault.folder), "main") == [note]
    assert list_notes(vault, "main~1") == []
    assert read_note(vault, note.id) == read_note(vault, note.id[3:12]) == note
    assert read_version(vault, ids[1]) == before


def test_notes_stand_in_the_order_of_their_times_over_all_versions(vault, ids):
    moments = [dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (3, 1, 2)]
    notes = [add_note(vault, ids[place % 2], str(place), time=time) for place, time in enumerate(moments)]
    assert list_notes(vault) == [notes[1], notes[2], notes[0]]
    assert list_notes(vault, "main~1") == [notes[2], notes[0]]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(min_size=1).filter(lambda text: not any(0xD800 <= ord(character) < 0xE000 for character in text)))
def test_any_text_comes_back_as_it_was(tmp_path_factory, text):
    vault = open_vault(tmp_path_factory.getbasetemp() / "any note" / "store")
    version = plant(vault, [()])[0]
    note = add_note(vault, version, text, author="Ada")
    assert list_notes(vault, version)[-1].text == text
    assert read_note(vault, note.id) == note


@pytest.mark.parametrize("text", ["", "\ud800", "x" * (MAX_NOTE_CHARACTERS + 1)])
def test_a_text_that_cannot_be_a_note_is_refused(vault, ids, text):
    with pytest.raises(BadNoteError):
        add_note(vault, "main", text)
    with pytest.raises(UnknownNameError):
        add_note(vault, "nobody", "text")
    assert list_notes(vault) == []


def test_a_removed_note_is_listed_no_more_but_its_words_and_who_removed_it_stay(vault, ids):
    kept, wrong = add_note(vault, "main", "kept"), add_note(vault, "main", "wrong", author="Ada")
    tombstone = remove_note(vault, wrong.id[:20], reason="measured again", author="Ada")
    assert list_notes(vault) == [kept]
    assert list_notes(vault, with_removed=True) == [kept, wrong, tombstone]
    assert (tombstone.removes, tombstone.text) == (wrong.id, "measured again")
    for name in (wrong.id, tombstone.id, kept.id[:8], ""):
        with pytest.raises(UnknownNameError):
            remove_note(vault, name)
    assert verify_audit(vault).is_whole


def test_the_same_words_said_twice_are_two_notes(vault, ids):
    one, two = (add_note(vault, "main", "same", author="Ada") for _ in range(2))
    remove_note(vault, one.id, author="Ada")
    assert list_notes(vault) == [two]


def test_a_version_with_a_note_is_kept_after_its_branch_is_gone(vault, ids):
    note = add_note(vault, ids[0], "look at this one again")
    delete_ref(vault, "main")
    assert root_versions(vault) == {ids[0]} == set(noted_versions(vault))
    remove_note(vault, note.id)
    assert root_versions(vault) == set()


def test_a_note_that_a_crash_tore_is_no_note_and_the_next_one_stands_alone(vault, ids):
    first = add_note(vault, "main", "first")
    path = next((vault.refs / "notes").glob("*.jsonl"))
    path.write_bytes(path.read_bytes() + b'{"author":"A')
    assert list_notes(vault) == [first]
    second = add_note(vault, "main", "second")
    assert list_notes(vault) == [first, second]
    assert verify_audit(vault).is_whole


def test_a_note_written_past_the_audit_is_found_and_a_damaged_one_said(vault, ids):
    add_note(vault, "main", "first")
    path = next((vault.refs / "notes").glob("*.jsonl"))
    before = path.read_text()
    path.write_text(before + before.replace("first", "never said"))
    assert any("knows nothing" in fault.message for fault in verify_audit(vault).faults)
    path.write_text(before + "{}\n")
    with pytest.raises(CorruptObjectError):
        list_notes(vault)
    assert not verify_audit(vault).is_whole


def test_who_may_not_write_says_nothing_and_only_an_admin_unsays_others(vault, ids):
    grant(vault, "refs/*", "Root", "admin")
    set_default_level(vault, "read")
    grant(vault, "refs/notes/*", "Ada", "write", author="Root")
    with pytest.raises(AccessDeniedError):
        add_note(vault, "main", "no", author="Bob")
    own, others = add_note(vault, "main", "mine", author="Ada"), add_note(vault, "main", "his", author="Root")
    with pytest.raises(AccessDeniedError):
        remove_note(vault, others.id, author="Ada")
    remove_note(vault, own.id, author="Ada")
    remove_note(vault, others.id, author="Root")
    assert list_notes(vault) == []


def test_a_note_needs_a_time_zone_and_a_version(vault):
    with pytest.raises(ValueError, match="version"):
        Note(version="main", text="x", author="Ada", time=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
