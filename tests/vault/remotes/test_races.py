"""No push is lost: not to another process, not to `kill -9`."""

import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from birdbone.vault import (
    RefConflictError,
    checkout,
    collect_garbage,
    commit,
    delete_ref,
    log,
    open_vault,
    put_folder,
    read_ref,
    refs,
    resolve,
    verify,
)
from birdbone.vault.refs.audit import verify_audit
from birdbone.vault.refs.branches import create_branch
from birdbone.vault.remotes import Transport, add_remote, clone, fetch, pull, push, transfer
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


def commit_file(vault, folder, seed):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.bin").write_bytes(np.random.default_rng(seed).bytes(150_000))
    (folder / "chunked.bin").write_bytes(np.random.default_rng(seed).bytes(300_000)[::-1])
    return commit(vault, put_folder(vault, folder, kind="dataset"), ref="main", message=f"{seed}", author="Ada")


def push_for_ever(told, vault, folder, turn):
    transfer.BATCH_BYTES = 40_000
    for number in itertools.count():
        made = commit_file(vault, folder, turn * 1000 + number)
        push(vault, "far")
        told.send(made.id)


def pull_once(told, vault):
    transfer.BATCH_BYTES = 40_000
    told.send("begin")
    pull(vault, "far")
    told.send("end")


@dataclass
class Dying:
    """A transport whose process is killed at one of its steps, before the step or after it."""

    inner: Transport
    left: int
    is_after: bool

    def step(self, act, *arguments):
        self.left -= 1
        if self.left < 0 and not self.is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = act(*arguments)
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    def sizes(self, folder):
        return self.step(self.inner.sizes, folder)

    def read(self, path, start=0, size=None):
        return self.step(self.inner.read, path, start, size)

    def write(self, path, content):
        return self.step(self.inner.write, path, content)

    def create(self, path, content):
        return self.step(self.inner.create, path, content)


def act_and_die(told, act, vault, place, is_after):
    transfer.BATCH_BYTES = 40_000
    act(vault, "far", wrap=lambda inner: Dying(inner, place, is_after))
    told.send("end")


def fork(target, *arguments):
    """Run a function in a process of its own; return the process, and where what it tells arrives."""
    context = multiprocessing.get_context("fork")
    heard, told = context.Pipe(duplex=False)
    child = context.Process(target=target, args=(told, *arguments))
    child.start()
    told.close()
    return child, heard


def rest_of(heard):
    found = []
    with contextlib.suppress(EOFError):
        while True:
            found.append(heard.recv())
    return found


def kill(child, heard):
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    return rest_of(heard)


def test_a_push_that_is_killed_loses_nothing_that_it_told_of_and_the_next_one_finishes(vault, tmp_path):
    add_remote(vault, "far", str(tmp_path / "far"))
    choice, told = random.Random(5), []
    for turn in range(20):
        child, heard = fork(push_for_ever, vault, tmp_path / f"files-{turn}", turn)
        told.append(heard.recv())
        time.sleep(choice.uniform(0, 0.12))
        told += kill(child, heard)
        assert child.exitcode == -signal.SIGKILL
        far = open_vault(tmp_path / "far")
        assert verify(far).is_sound
        assert verify_audit(far).is_whole
        assert set(told) <= {version.id for version in log(far, "main")}
    push(vault, "far")
    assert refs(far) == refs(vault)
    copy = clone(str(tmp_path / "far"), tmp_path / "copy")
    assert [version.id for version in log(copy)] == [version.id for version in log(vault)]
    assert len(told) >= 20


@pytest.mark.parametrize("is_after", [False, True])
def test_a_push_that_is_killed_at_any_of_its_steps_leaves_the_old_ref_or_the_new_one(vault, tmp_path, is_after):
    add_remote(vault, "far", str(tmp_path / "far"))
    old = commit_file(vault, tmp_path / "files", 0).id
    push(vault, "far")
    far = open_vault(tmp_path / "far")
    num_killed = 0
    for place in range(100):
        new = commit_file(vault, tmp_path / "files", place + 1).id
        child, heard = fork(act_and_die, push, vault, place, is_after)
        child.join()
        assert read_ref(far, "main") in (old, new)
        assert verify(far).is_sound
        assert verify_audit(far).is_whole
        if rest_of(heard) == ["end"]:
            assert read_ref(far, "main") == new
            break
        num_killed += 1
        push(vault, "far")
        assert read_ref(far, "main") == new
        old = new
    assert 15 <= num_killed < 100
    assert [version.id for version in log(far, "main")] == [version.id for version in log(vault, "main")]


def test_a_pull_that_is_killed_at_any_of_its_steps_leaves_the_store_in_order(vault, tmp_path):
    add_remote(vault, "far", str(tmp_path / "far"))
    for seed in range(3):
        commit_file(vault, tmp_path / "files", seed)
    push(vault, "far")
    other = open_vault(tmp_path / "other")
    add_remote(other, "far", str(tmp_path / "far"))
    num_killed = 0
    for place in itertools.count():
        child, heard = fork(act_and_die, pull, other, place, False)
        child.join()
        assert verify(other).is_sound
        assert verify_audit(other).is_whole
        assert read_ref(other, "main") in (None, read_ref(vault, "main"))
        if rest_of(heard) == ["end"]:
            break
        num_killed += 1
    assert num_killed >= 15
    assert log(other) == log(vault)
    assert content_of(checkout(other, "main", tmp_path / "out")) == content_of(tmp_path / "files")


def test_a_pull_that_is_killed_at_any_moment_leaves_the_store_in_order_and_the_next_one_finishes(vault, tmp_path):
    add_remote(vault, "far", str(tmp_path / "far"))
    for seed in range(4):
        commit_file(vault, tmp_path / "files", seed)
    push(vault, "far")
    choice, outcomes = random.Random(6), set()
    for turn in range(15):
        other = open_vault(tmp_path / f"other-{turn}")
        add_remote(other, "far", str(tmp_path / "far"))
        child, heard = fork(pull_once, other)
        assert heard.recv() == "begin"
        time.sleep(choice.uniform(0, 0.1))
        outcomes.add(tuple(kill(child, heard)))
        assert verify(other).is_sound
        assert verify_audit(other).is_whole
        pull(other, "far")
        assert log(other) == log(vault)
    assert () in outcomes


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
