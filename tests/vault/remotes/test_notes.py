"""Notes go along with versions, both sides' notes are united, and what one side removed is removed for all."""

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdbone.vault import open_vault, read_ref, resolve
from birdbone.vault.errors import AccessDeniedError, CorruptObjectError, RemoteDamagedError, RemoteError
from birdbone.vault.refs.audit import verify_audit
from birdbone.vault.refs.audit_log import read_entries
from birdbone.vault.refs.notes import add_note, list_notes, remove_note, unite_notes
from birdbone.vault.refs.permissions import grant
from birdbone.vault.remotes import add_remote, clone, fetch, push
from birdbone.vault.remotes.remote import open_remote

from .stores import Failing, commit_wave, make_waves, memory_url, weights

NOTE_AND_PUSH = """
import sys
from pathlib import Path
from birdbone.vault import open_vault
from birdbone.vault.refs.notes import add_note
from birdbone.vault.remotes import push
vault = open_vault(Path(sys.argv[1]))
for turn in range(6):
    add_note(vault, "main", f"{vault.folder.name} {turn}", author="Ada")
    push(vault, "origin")
"""

_places = itertools.count()


def texts(vault, **more):
    return sorted(note.text for note in list_notes(vault, **more))


@pytest.fixture
def pair(vault, tmp_path, url):
    """Two stores with the same version of `main`, and the remote through which they came to it."""
    make_waves(vault, tmp_path, num_waves=1)
    add_remote(vault, "origin", url)
    push(vault, "origin")
    return vault, clone(url, tmp_path / "copy")


def test_notes_go_along_with_a_push_and_come_with_a_clone_and_a_fetch(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=1)
    old, new = add_note(vault, "main~1", "dense", author="Ada"), add_note(vault, "main", "pruned", author="Ada")
    assert push(vault, url).num_notes == 2
    copy = clone(url, tmp_path / "copy")
    assert list_notes(copy) == [old, new]
    later = add_note(vault, "main", "shipped", author="Ada")
    assert (push(vault, url).num_notes, push(vault, url).num_notes) == (1, 0)
    assert (fetch(copy).num_notes, fetch(copy).num_notes) == (1, 0)
    assert list_notes(copy, "main") == [new, later]
    assert verify_audit(copy).is_whole
    moves = [(move.ref, move.new) for move in read_entries(copy)]
    assert (f"refs/notes/{later.version[3:]}", later.id) in moves


def test_what_one_side_removed_is_removed_for_all(pair):
    here, there = pair
    note = add_note(here, "main", "a mistake", author="Ada")
    push(here, "origin")
    fetch(there)
    remove_note(there, note.id, reason="not so", author="Ada")
    push(there, "origin")
    assert texts(here) == ["a mistake"]
    fetch(here)
    assert (texts(here), texts(here, with_removed=True)) == ([], ["a mistake", "not so"])
    push(here, "origin")
    fetch(there)
    assert (texts(there), texts(there, with_removed=True)) == ([], ["a mistake", "not so"])


def test_a_note_on_a_version_that_stays_here_stays_too(pair, tmp_path):
    here, there = pair
    commit_wave(here, tmp_path / "own", weights(9), ref="own", base="main")
    add_note(here, "own", "not yet")
    add_note(here, "main", "for all")
    assert push(here, "origin", ["main"]).num_notes == 1
    fetch(there)
    assert texts(there) == ["for all"]
    assert push(here, "origin", ["own"]).num_notes == 1
    fetch(there)
    assert texts(there) == ["for all", "not yet"]


def test_a_note_on_a_version_that_a_store_lacks_waits_until_it_has_it(pair, tmp_path):
    here, there = pair
    made = commit_wave(here, tmp_path / "own", weights(9), ref="own", base="main")
    note = add_note(here, "own", "of another branch")
    assert unite_notes(there, [note], reason="note: test") == []
    assert list_notes(there, with_removed=True) == []
    push(here, "origin", ["own"])
    fetch(there)
    assert (list_notes(there), resolve(there, "origin/own")) == ([note], made.id)


def test_pushes_of_notes_that_race_lose_none(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=0)
    push(vault, url)
    copies = [clone(url, tmp_path / str(number)) for number in range(3)]

    def run(number):
        for turn in range(5):
            add_note(copies[number], "main", f"{number} {turn}", author="Ada")
            push(copies[number], "origin")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, range(3)))
    after = clone(url, tmp_path / "after")
    assert texts(after) == sorted(f"{number} {turn}" for number in range(3) for turn in range(5))
    assert verify_audit(after).is_whole


def test_processes_that_push_notes_to_one_folder_lose_none(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=0)
    far = str(tmp_path / "far")
    push(vault, far)
    copies = [clone(far, tmp_path / who) for who in ("ada", "bob")]
    children = [subprocess.Popen([sys.executable, "-c", NOTE_AND_PUSH, str(copy.folder)]) for copy in copies]
    assert [child.wait() for child in children] == [0, 0]
    there = open_vault(tmp_path / "far")
    assert texts(there) == sorted(f"{who} {turn}" for who in ("ada", "bob") for turn in range(6))
    assert verify_audit(there).is_whole


def test_a_push_that_breaks_off_is_finished_by_the_next_and_shows_nothing_that_was_removed(vault, tmp_path):
    url = memory_url()
    make_waves(vault, tmp_path, num_waves=0)
    push(vault, url)
    notes = [add_note(vault, "main", str(number), author="Ada") for number in range(4)]
    for note in notes[:2]:
        remove_note(vault, note.id, author="Ada")
    num_cut = 0
    for budget in range(100, 4000, 200):
        try:
            push(vault, url, wrap=lambda inner, left=budget: Failing(inner, [left]))
        except RemoteError:
            num_cut += 1
        seen = clone(url, tmp_path / f"seen-{budget}")
        assert set(texts(seen)) <= {"2", "3"}
    assert num_cut > 1
    assert push(vault, url).num_notes == 0
    assert (texts(seen), len(list_notes(seen, with_removed=True))) == (["2", "3"], 6)


def test_a_damaged_note_of_a_remote_is_not_used_and_no_ref_moves(pair, tmp_path, url):
    here, there = pair
    commit_wave(here, tmp_path / "more", weights(5), base="main")
    add_note(here, "main", "seen", author="Ada")
    push(here, "origin")
    transport = open_remote(here, url).transport
    (path,) = transport.sizes("refs/notes")
    content, before = transport.read(path), read_ref(there, "refs/remotes/origin/main")
    for damaged in (content.replace(b"seen", b"sean"), content.replace(b"author", b"auth0r"), b"{}\n"):
        transport.write(path, damaged)
        with pytest.raises(RemoteDamagedError):
            fetch(there)
        assert (read_ref(there, "refs/remotes/origin/main"), list_notes(there)) == (before, [])
    transport.write(path, content)
    assert fetch(there).num_notes == 1
    assert read_ref(there, "refs/remotes/origin/main") == read_ref(here, "main")


def test_a_damaged_note_here_is_found_before_a_ref_moves_there(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=0)
    note = add_note(vault, "main", "seen", author="Ada")
    path = vault.refs / "notes" / f"{note.version[3:]}.jsonl"
    path.write_bytes(path.read_bytes().replace(b"seen", b"sean"))
    with pytest.raises(CorruptObjectError):
        push(vault, url)
    assert open_remote(vault, url, make=True).table.read().refs == {}


def test_a_folder_lets_in_only_the_notes_that_its_levels_allow(vault, tmp_path):
    far = tmp_path / "far"
    make_waves(vault, tmp_path, num_waves=0)
    by_ada = add_note(vault, "main", "by Ada", author="Ada")
    push(vault, str(far), author="Ada")
    theirs = open_vault(far)
    grant(theirs, "refs/notes/*", "Bob", "write", author="Ada")
    grant(theirs, "refs/notes/*", "Eve", "read", author="Ada")
    add_note(vault, "main", "by Bob", author="Bob")
    with pytest.raises(AccessDeniedError):
        push(vault, str(far), author="Eve")
    assert texts(theirs) == ["by Ada"]
    assert push(vault, str(far), author="Bob").num_notes == 1
    remove_note(vault, by_ada.id, author="Bob")
    with pytest.raises(AccessDeniedError):
        push(vault, str(far), author="Bob")
    assert texts(theirs) == ["by Ada", "by Bob"]
    assert push(vault, str(far), author="Ada").num_notes == 1
    assert texts(theirs) == ["by Bob"]
    assert verify_audit(theirs).is_whole


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)), cut=st.integers(0, 6))
def test_lines_united_in_any_order_and_in_any_parts_leave_the_same_notes(vault, tmp_path, order, cut):
    if read_ref(vault, "main") is None:
        make_waves(vault, tmp_path, num_waves=0)
        notes = [add_note(vault, "main", str(number), author="Ada") for number in range(4)]
        for note in notes[:2]:
            remove_note(vault, note.id, author="Ada")
        push(vault, str(tmp_path / "bare"))
        for path in (tmp_path / "bare" / "refs" / "notes").iterdir():
            path.unlink()
    lines = sorted(list_notes(vault, with_removed=True), key=lambda note: note.id)
    other = clone(str(tmp_path / "bare"), tmp_path / f"order-{next(_places)}")
    for part in (order[:cut], order[cut:], order):
        unite_notes(other, [lines[number] for number in part], reason="note: test")
    assert (list_notes(other), len(list_notes(other, with_removed=True))) == (list_notes(vault), 6)


_ACTS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "push", "fetch"]), st.integers(0, 1), st.integers(0, 9)), max_size=14
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=_ACTS, in_folder=st.booleans())
def test_whatever_two_stores_do_they_agree_after_both_pushed_and_fetched(vault, tmp_path, acts, in_folder):
    if read_ref(vault, "main") is None:
        make_waves(vault, tmp_path, num_waves=0)
    url = str(tmp_path / f"far-{next(_places)}") if in_folder else memory_url()
    push(vault, url)
    stores = [clone(url, tmp_path / f"store-{next(_places)}") for _ in range(2)]
    added, removed = set(), set()
    for number, (act, who, which) in enumerate(acts):
        store = stores[who]
        notes = list_notes(store)
        match act:
            case "add":
                added.add(add_note(store, "main", str(number), author="Ada").id)
            case "remove" if notes:
                removed.add(remove_note(store, notes[which % len(notes)].id, author="Ada").removes)
            case "push":
                push(store, "origin")
            case "fetch":
                fetch(store)
    for store in (*stores, *stores):
        push(store, "origin")
        fetch(store)
    for store in stores:
        assert {note.id for note in list_notes(store)} == added - removed
        assert {note.id for note in list_notes(store, with_removed=True) if not note.removes} == added
        assert verify_audit(store).is_whole
