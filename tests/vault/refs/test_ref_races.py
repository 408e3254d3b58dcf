"""No move is lost: not to another process, not to `kill -9`, not to a write that fails half-way."""

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest

from birdbone.vault import move_ref, open_vault, read_ref, read_reflog, refs
from birdbone.vault.refs.audit import verify_audit
from birdbone.vault.refs.branches import create_branch
from birdbone.vault.refs.notes import add_note, list_notes
from birdbone.vault.refs.permissions import grant, protect, read_settings

from ..shapes import plant

STEP_ALONG_A_LINE = """
import sys
from pathlib import Path
from birdbone.vault import RefConflictError, move_ref, open_vault, read_ref
vault, number, line = open_vault(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3:]
while number:
    now = read_ref(vault, "main")
    after = line[line.index(now) + 1]
    try:
        move_ref(vault, "main", after, expected=now)
    except RefConflictError:
        continue
    number -= 1
    print(after)
"""

DO_EVERYTHING = """
import itertools, sys
from pathlib import Path
from birdbone.vault import move_ref, open_vault, set_head
from birdbone.vault.refs.branches import create_branch, delete_branch, rename_branch, switch
from birdbone.vault.refs.notes import add_note, remove_note
from birdbone.vault.refs.permissions import protect, unprotect
vault, turn, ids = open_vault(Path(sys.argv[1])), sys.argv[2], sys.argv[3:]
for number in itertools.count():
    name = f"{turn}-{number}"
    create_branch(vault, name, at=ids[number % 2])
    print("made", name, flush=True)
    move_ref(vault, "main", ids[1])
    move_ref(vault, "main", ids[0], reason=name)
    print("moved", name, flush=True)
    note = add_note(vault, ids[0], name)
    print("noted", name, flush=True)
    rename_branch(vault, name, f"{name}-kept")
    print("renamed", name, flush=True)
    switch(vault, f"{name}-kept")
    protect(vault, name)
    unprotect(vault, name)
    switch(vault, "main", detach=True)
"""


def start(program, vault, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-c", program, str(vault.folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_race_on_one_ref_make_every_move_once(vault):
    line = plant(vault, [(), *((place,) for place in range(20))])
    move_ref(vault, "main", line[0])
    children = [start(STEP_ALONG_A_LINE, vault, "10", *line) for _ in range(2)]
    told = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sorted(told[0] + told[1]) == sorted(line[1:])
    assert read_ref(vault, "main") == line[20]
    assert [move.new for move in read_reflog(vault, "main")] == line
    assert verify_audit(vault).faults == ()


def test_two_processes_that_change_the_settings_lose_no_change(vault):
    program = (
        "import sys\nfrom pathlib import Path\nfrom birdbone.vault import open_vault\n"
        "from birdbone.vault.refs.permissions import grant\n"
        "for number in range(8):\n"
        "    grant(open_vault(Path(sys.argv[1])), f'b{number}', sys.argv[2], 'admin')\n"
    )
    children = [start(program, vault, who) for who in ("Ada", "Bob")]
    assert [child.wait() for child in children] == [0, 0]
    expected = {f"refs/heads/b{number}": {"Ada": "admin", "Bob": "admin"} for number in range(8)}
    assert read_settings(vault).permissions.grants == expected
    assert verify_audit(vault).faults == ()


def test_a_process_that_is_killed_loses_nothing_that_it_told_of(vault):
    ids = plant(vault, [(), (0,)])
    move_ref(vault, "main", ids[0])
    choice, told = random.Random(11), set()
    for turn in range(4):
        child = start(DO_EVERYTHING, vault, str(turn), *ids)
        first = child.stdout.readline()
        time.sleep(choice.uniform(0, 0.4))
        os.kill(child.pid, signal.SIGKILL)
        lines = [first, *child.communicate()[0].splitlines(keepends=True)]
        told |= {tuple(line.split()) for line in lines if line.endswith("\n")}
        report = verify_audit(open_vault(vault.folder))
        assert report.faults == ()
        assert report.num_beyond_tip <= 1
    names = {ref.removeprefix("refs/heads/") for ref in refs(vault)}
    reasons, texts = {move.reason for move in read_reflog(vault, "main")}, {note.text for note in list_notes(vault)}
    is_kept = {
        "made": lambda name: name in names or f"{name}-kept" in names,
        "moved": lambda name: name in reasons,
        "noted": lambda name: name in texts,
        "renamed": lambda name: f"{name}-kept" in names,
    }
    assert told
    assert [line for line in told if not is_kept[line[0]](line[1])] == []
    move_ref(vault, "main", ids[1])
    move_ref(vault, "main", ids[0])
    assert verify_audit(vault).faults == ()


@contextlib.contextmanager
def largest_file(size_bytes: int):
    """Let every write beyond a size fail, after what fits was written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room_bytes", [0, 1, 100])
def test_a_line_that_is_written_only_in_part_moves_nothing_and_the_next_move_mends_it(vault, room_bytes):
    ids = plant(vault, [(), (0,)])
    move_ref(vault, "main", ids[0])
    size_bytes = vault.reflog.stat().st_size
    for act in (
        lambda: move_ref(vault, "main", ids[1]),
        lambda: create_branch(vault, "topic"),
        lambda: add_note(vault, "main", "kept?"),
        lambda: protect(vault, "main"),
    ):
        with largest_file(size_bytes + room_bytes), pytest.raises(OSError, match="too large"):
            act()
        assert vault.reflog.stat().st_size == size_bytes + room_bytes
        assert refs(vault) == {"refs/heads/main": ids[0]}
        report = verify_audit(vault)
        assert (report.faults, len(report.torn), report.num_lines) == ((), room_bytes, 1)
    move_ref(vault, "main", ids[1])
    assert verify_audit(vault).num_lines == 2
    assert verify_audit(vault).torn == ""


def test_a_store_that_may_only_be_read_answers_and_refuses_to_move(vault):
    ids = plant(vault, [(), (0,)])
    move_ref(vault, "main", ids[0])
    grant(vault, "refs/*", "Root", "admin")
    before = {path: path.read_bytes() for path in vault.refs.rglob("*") if path.is_file()}
    with largest_file(0), pytest.raises(OSError, match="too large"):
        move_ref(vault, "main", ids[1])
    assert {path: path.read_bytes() for path in before} == before
    assert verify_audit(vault).is_whole
