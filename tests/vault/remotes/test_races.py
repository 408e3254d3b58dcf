"""No push is lost: not to another process, not to `kill -9`."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from birdbone.vault import RefConflictError, checkout, log, open_vault, read_ref, refs, resolve, verify
from birdbone.vault.audit import verify_audit
from birdbone.vault.branches import create_branch
from birdbone.vault.remotes import add_remote, clone, fetch, pull, push
from birdbone.vault.remotes.remote import open_remote
from birdbone.vault.remotes.settings import list_remotes
from birdbone.vault.remotes.tables import RefChange

from ..checkpoints import content_of
from .stores import commit_wave, make_waves, memory_url, weights

COMMIT_AND_PUSH = """
import sys
from pathlib import Path
from birdbone.vault import RefConflictError, commit, open_vault, read_version
from birdbone.vault.remotes import fetch, push
vault, number = open_vault(Path(sys.argv[1])), int(sys.argv[2])
artefact = read_version(vault, "main").artefact
for turn in range(number):
    made = commit(vault, artefact, ref="main", message=f"{vault.folder.name} {turn}", author="Ada")
    while True:
        try:
            push(vault, "origin")
            break
        except RefConflictError:
            fetch(vault)
            commit(vault, artefact, ref="main", message="merge", parents=["main", "origin/main"], author="Ada")
    print(made.id, flush=True)
"""

PUSH_FOR_EVER = """
import itertools, sys
from pathlib import Path
import numpy as np
from birdbone.vault import commit, open_vault, put_folder
from birdbone.vault.remotes import push
from birdbone.vault.remotes import transfer
transfer.BATCH_BYTES = 40_000
vault, folder, turn = open_vault(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
folder.mkdir(parents=True)
for number in itertools.count():
    (folder / "data.bin").write_bytes(np.random.default_rng(int(turn) * 1000 + number).bytes(150_000))
    (folder / "more.bin").write_bytes(np.random.default_rng(int(turn) * 1000 + number).bytes(300_000)[::-1])
    made = commit(vault, put_folder(vault, folder, kind="dataset"), ref="main", message=f"{turn} {number}")
    push(vault, "far")
    print(made.id, flush=True)
"""

PULL = """
import sys
from pathlib import Path
from birdbone.vault import open_vault
from birdbone.vault.remotes import pull, transfer
transfer.BATCH_BYTES = 40_000
print("begin", flush=True)
pull(open_vault(Path(sys.argv[1])), "far")
print("end", flush=True)
"""


def start(program, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-c", program, *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_push_to_one_branch_and_every_version_stays(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=0)
    far = str(tmp_path / "far")
    push(vault, far)
    copies = [clone(far, tmp_path / who) for who in ("ada", "bob")]
    children = [start(COMMIT_AND_PUSH, copy.folder, 4) for copy in copies]
    told = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    there = open_vault(tmp_path / "far")
    assert {version for lines in told for version in lines} <= {version.id for version in log(there, "main")}
    assert [len(lines) for lines in told] == [4, 4]
    assert verify(there).is_sound
    assert verify_audit(there).is_whole


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_of_pushes_that_race_exactly_one_wins_and_the_others_win_after_merging(vault, tmp_path, kind):
    url = str(tmp_path / "far") if kind == "folder" else memory_url()
    make_waves(vault, tmp_path, num_waves=0)
    push(vault, url)
    copies = [clone(url, tmp_path / str(number)) for number in range(3)]
    for number, copy in enumerate(copies):
        commit_wave(copy, tmp_path / f"by-{number}", weights(number + 1), base="main")
    outcomes: dict[int, object] = {}

    def run(number):
        try:
            outcomes[number] = push(copies[number], "origin")
        except RefConflictError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(isinstance(outcome, RefConflictError) for outcome in outcomes.values()) == [False, True, True]
    (winner,) = (number for number, outcome in outcomes.items() if not isinstance(outcome, RefConflictError))
    assert open_remote(vault, url).table.read().refs["refs/heads/main"] == resolve(copies[winner], "main")


def test_states_of_refs_that_race_in_an_object_store_keep_every_ref(vault):
    url = memory_url()
    open_remote(vault, url, make=True)
    version = "b3:" + "1" * 64

    def run(who):
        table = open_remote(vault, url).table
        for number in range(6):
            change = RefChange(ref=f"refs/heads/{who}-{number}", old=None, new=version)
            assert table.swap([change], head="refs/heads/main", author="Ada", is_complete=lambda: True)

    threads = [threading.Thread(target=run, args=(who,)) for who in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    remote = open_remote(vault, url)
    assert remote.table.read().refs.keys() == {f"refs/heads/{who}-{number}" for who in "abcd" for number in range(6)}
    assert len(remote.transport.sizes("refs/journal")) == 24


def test_a_push_that_is_killed_loses_nothing_that_it_told_of_and_the_next_one_finishes(vault, tmp_path):
    add_remote(vault, "far", str(tmp_path / "far"))
    choice, told = random.Random(5), []
    for turn in range(15):
        child = start(PUSH_FOR_EVER, vault.folder, tmp_path / f"files-{turn}", turn)
        told.append(child.stdout.readline().strip())
        time.sleep(choice.uniform(0, 0.12))
        os.kill(child.pid, signal.SIGKILL)
        told += [line for line in child.communicate()[0].split("\n") if len(line) == 67]
        assert child.returncode == -signal.SIGKILL
        far = open_vault(tmp_path / "far")
        assert verify(far).is_sound
        assert verify_audit(far).is_whole
        assert set(told) <= {version.id for version in log(far, "main")}
    push(vault, "far")
    assert refs(far) == refs(vault)
    copy = clone(str(tmp_path / "far"), tmp_path / "copy")
    assert [version.id for version in log(copy)] == [version.id for version in log(vault)]
    assert len(told) >= 15


def test_a_pull_that_is_killed_leaves_the_store_in_order_and_the_next_one_finishes(vault, tmp_path):
    add_remote(vault, "far", str(tmp_path / "far"))
    child = start(PUSH_FOR_EVER, vault.folder, tmp_path / "files", 0)
    lines = [child.stdout.readline() for _ in range(12)]
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert all(lines)
    other = open_vault(tmp_path / "other")
    add_remote(other, "far", str(tmp_path / "far"))
    choice, outcomes = random.Random(6), set()
    for _ in range(15):
        child = start(PULL, other.folder)
        assert child.stdout.readline() == "begin\n"
        time.sleep(choice.uniform(0, 0.25))
        os.kill(child.pid, signal.SIGKILL)
        outcomes.add("end" in child.communicate()[0])
        assert verify(other).is_sound
        assert verify_audit(other).is_whole
        assert read_ref(other, "main") in (None, read_ref(open_vault(tmp_path / "far"), "main"))
    pull(other, "far")
    assert log(other) == log(open_vault(tmp_path / "far"), "main")
    assert content_of(checkout(other, "main", tmp_path / "a")) == content_of(
        checkout(vault, "far/main", tmp_path / "b")
    )
    assert False in outcomes


def test_remotes_that_are_added_at_once_are_all_kept(vault, tmp_path):
    threads = [
        threading.Thread(target=add_remote, args=(vault, f"r{number}", str(tmp_path / f"{number}")))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list_remotes(vault).keys() == {f"r{number}" for number in range(8)}


def test_a_push_beside_a_collection_of_garbage_sends_again_what_was_taken_away(vault, tmp_path):
    from birdbone.vault import collect_garbage, delete_ref

    far = str(tmp_path / "far")
    make_waves(vault, tmp_path, num_waves=1)
    create_branch(vault, "side")
    push(vault, far, ["side"])
    delete_ref(open_vault(tmp_path / "far"), "side")
    real = open_remote(vault, far).transport

    class Collecting:
        """Collects the garbage of the remote when all was found to be there, before the refs move."""

        def __init__(self):
            self.num_listings = 0

        def sizes(self, folder):
            self.num_listings += 1
            found = real.sizes(folder)
            if self.num_listings == 3:
                collect_garbage(open_vault(tmp_path / "far"), dry_run=False, grace_seconds=-1, keep_undone_days=0)
            return found

        read, write, create = staticmethod(real.read), staticmethod(real.write), staticmethod(real.create)

    push(vault, far, ["main"], wrap=lambda inner: Collecting())
    there = open_vault(tmp_path / "far")
    assert verify(there).is_sound
    assert content_of(checkout(there, "main", tmp_path / "out")) == content_of(tmp_path / "wave-1")
    add_remote(vault, "far", far)
    fetch(vault, "far")
