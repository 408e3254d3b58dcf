"""Whether a store survives `kill -9` at any point, a full disk and a failing one.

Question: after a process that commits, merges, collects garbage and pushes was killed at a random point, or was told
by the disk that there is no room or that a write failed, is every commit still there that it had acknowledged, does
every version read back right, and does the next command work with nothing done by hand?
Method: (1) A child works in a loop on one store (put and commit with a base, merge of a side branch, garbage
collection without grace, push to a remote folder) and prints each version once the call that made it returned. The
parent kills it by SIGKILL after a delay drawn from the time that such a loop takes, `--kills` times over the same
store; after each it opens the store, finds every acknowledged version in the history of its branch, checks the newest
and one other out against the bytes that were put (they follow from the version's message), and verifies the whole
store at the end. (2) The same loop in this process, with `os.fsync`, `os.replace` or a pack's write raising ENOSPC or
EIO at its n-th call, for n from 1 on (from 20 on not every one) until two loops pass: the error must be one of ours
or an OSError, and then the same checks hold. A kill loses no page cache: loss of power is not shown by this.
Peer: none.

Run: `python benchmarks/vault/bench_crash.py [--kills 200] [--seed 0]`. Prints one JSON row.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from birdbone.core import BirdboneError, digest_json
from birdbone.vault import (
    Vault,
    checkout,
    collect_garbage,
    commit,
    log,
    open_vault,
    put_folder,
    read_ref,
    verify,
)
from birdbone.vault.formats.safetensors import encode_header
from birdbone.vault.merging import merge
from birdbone.vault.remotes import add_remote, list_remotes, push
from birdbone.vault.store.packs import PackWriter

_SHAPE = (64, 128)
_NUM_TENSORS = 4
_SIDE_EVERY, _GARBAGE_EVERY, _PUSH_EVERY = 4, 3, 2
_LOOPS_A_FAULT = 2
_LOOPS_A_KILL = 3.0  # the longest delay before a kill, in loops of the child


def main() -> None:
    settings = _parse_settings()
    if settings.child:
        _work(Path(settings.child), first=settings.first, count=1_000_000)
        return
    with tempfile.TemporaryDirectory(prefix="birdbone-crash-") as name:
        row = _row(settings) | _kill_often(Path(name, "kills"), settings)
        row |= _fail_everywhere(Path(name, "faults"))
    print(json.dumps(row, ensure_ascii=False))


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill a store's writer, fill its disk, and see what is left.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _row(settings: argparse.Namespace) -> dict[str, Any]:
    commit_id = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    chosen = {"kills": settings.kills, "seed": settings.seed}
    return {
        "bench": "vault/bench_crash",
        "commit": commit_id,
        "machine": platform.machine(),
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }


# The work that is disturbed. Version n has weights that follow from n alone.


def _weights(number: int) -> bytes:
    """Return the checkpoint of version `number`: each is the one before with some more weights shed."""
    rng = np.random.default_rng(number // 8)  # every eighth begins anew, so that chains end
    tensors = {f"t{place}": rng.standard_normal(_SHAPE).astype(np.float32) for place in range(_NUM_TENSORS)}
    shed = {name: np.where(np.abs(t) < 0.1 * (number % 8), np.float32(0), t) for name, t in tensors.items()}
    forms = [(name, "F32", _SHAPE) for name in shed]
    return encode_header(forms, metadata={}) + b"".join(t.tobytes() for t in shed.values())


def _work(folder: Path, *, first: int, count: int, say: Callable[[str, str], None] | None = None) -> None:
    """Commit versions from `first` on; tell each with its ref once it is durable."""
    say = say or (lambda ref, version: print(json.dumps([ref, version]), flush=True))
    vault = open_vault(folder / "store")
    if not list_remotes(vault):
        add_remote(vault, "origin", str(folder / "remote"))
    for number in range(first, first + count):
        model = folder / "model"
        shutil.rmtree(model, ignore_errors=True)
        model.mkdir(parents=True)
        (model / "model.safetensors").write_bytes(_weights(number))
        ref = "side" if number % _SIDE_EVERY == _SIDE_EVERY - 1 and read_ref(vault, "side") else "main"
        artefact = put_folder(vault, model, kind="model", base=ref if read_ref(vault, ref) else None)
        say(ref, commit(vault, artefact, ref=ref, message=str(number)).id)
        if number % _SIDE_EVERY == 0:
            _merge_side(vault, say)
        if number % _GARBAGE_EVERY == 0:
            collect_garbage(vault, dry_run=False, grace_seconds=-1)
        if number % _PUSH_EVERY == 0:
            push(vault, "origin", refs=("main",))
            say("remote", str(read_ref(vault, "main")))


def _merge_side(vault: Vault, say: Callable[[str, str], None]) -> None:
    main = str(read_ref(vault, "main"))
    if read_ref(vault, "side") is None:
        from birdbone.vault import move_ref

        move_ref(vault, "side", main)
    result = merge(vault, "main", "side", strategies=["*=ours"])
    if result.version != main:
        say("main", result.version)


# Kills.


def _kill_often(folder: Path, settings: argparse.Namespace) -> dict[str, Any]:
    random_ = random.Random(settings.seed)
    folder.mkdir(parents=True)
    acknowledged: dict[str, list[str]] = {"main": [], "side": [], "remote": []}
    loop_seconds, first, lost, torn, refused = _time_loops(folder), 0, 0, 0, 0
    for _ in range(settings.kills):
        command = [sys.executable, __file__, "--child", str(folder), "--first", str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline()]  # its first commit: from here on it is at work
            time.sleep(random_.uniform(0, _LOOPS_A_KILL * loop_seconds))
            child.send_signal(signal.SIGKILL)
            rest, errors = child.communicate()
        if child.returncode != -signal.SIGKILL:
            refused += 1
            print(errors, file=sys.stderr)
        for line in (line for line in [lines[0], *rest.splitlines()] if line.strip().endswith("]")):
            ref, version = json.loads(line)
            acknowledged[ref].append(version)
        first += 8
        lost_now, torn_now = _check(folder, acknowledged)
        lost, torn = lost + lost_now, torn + torn_now
        print(f"killed {first // 8} times: {lost} lost, {torn} torn, {refused} refused", file=sys.stderr)
    return {
        "num_kills": settings.kills,
        "num_acknowledged": sum(map(len, acknowledged.values())),
        "num_acknowledged_lost": lost,
        "num_torn_reads": torn,
        "num_next_commands_that_failed": refused,
        "is_sound_at_the_end": verify(open_vault(folder / "store")).is_sound,
        "is_remote_sound_at_the_end": verify(open_vault(folder / "remote")).is_sound,
    }


def _time_loops(folder: Path) -> float:
    _work(folder / "timing", first=0, count=8, say=lambda *_: None)
    started = time.perf_counter()
    _work(folder / "timing", first=8, count=8, say=lambda *_: None)
    return (time.perf_counter() - started) / 8


def _check(folder: Path, acknowledged: dict[str, list[str]]) -> tuple[int, int]:
    """Return how many acknowledged versions are gone, and how many of those looked at do not read back right."""
    vault, lost = open_vault(folder / "store"), 0
    for ref in ("main", "side"):
        there = {version.id for version in log(vault, ref)} if read_ref(vault, ref) else set()
        lost += len(set(acknowledged[ref]) - there)
    remote = open_vault(folder / "remote")
    there = {version.id for version in log(remote, "main")} if read_ref(remote, "main") else set()
    lost += len(set(acknowledged["remote"]) - there)
    versions = log(vault, "main") if read_ref(vault, "main") else []
    chosen = [versions[0], versions[len(versions) // 2]] if versions else []
    return lost, sum(not _reads_right(vault, version, folder / "out") for version in chosen)


def _reads_right(vault: Vault, version: Any, out: Path) -> bool:
    shutil.rmtree(out, ignore_errors=True)
    content = (checkout(vault, version.id, out) / "model.safetensors").read_bytes()
    number = version.message.split("\n")[0]
    return content == _weights(int(number)) if number.isdigit() else True  # a merge has the content of one side


# Faults.


def _fail_everywhere(folder: Path) -> dict[str, Any]:
    tally: Counter[str] = Counter()
    for target in ("fsync", "replace", "write"):
        for code in (errno.ENOSPC, errno.EIO):
            where = folder / f"{target}-{code}"
            where.mkdir(parents=True)
            tally.update(_fail_at_each_call(where, target, code))
            tally["unsound"] += not verify(open_vault(where / "store")).is_sound
            print(f"faults of {target}, {os.strerror(code)}: {dict(tally)}", file=sys.stderr)
    return {
        "num_faults": tally["explained"] + tally["os_error"] + tally["other"],
        "num_faults_explained": tally["explained"],
        "num_faults_as_os_errors": tally["os_error"],
        "num_other_errors": tally["other"],
        "num_lost_after_faults": tally["lost"],
        "num_torn_after_faults": tally["torn"],
        "num_stores_unsound_after_faults": tally["unsound"],
    }


def _fail_at_each_call(folder: Path, target: str, code: int) -> Counter[str]:
    tally: Counter[str] = Counter()
    acknowledged: dict[str, list[str]] = {"main": [], "side": [], "remote": []}
    first, call = 0, 1
    while True:
        with _failing(target, call, code) as state:
            tally[_try_work(folder, first, acknowledged)] += 1
        lost, torn = _check(folder, acknowledged)
        tally["lost"] += lost
        tally["torn"] += torn
        if not state["has_failed"]:
            return tally
        first += _LOOPS_A_FAULT
        call += 1 + call // 20  # every call at first, then ever fewer: a collection of garbage copies many entries


def _try_work(folder: Path, first: int, acknowledged: dict[str, list[str]]) -> str:
    try:
        _work(folder, first=first, count=_LOOPS_A_FAULT, say=lambda ref, version: acknowledged[ref].append(version))
    except BirdboneError:
        return "explained"
    except OSError:
        return "os_error"
    except Exception as error:  # noqa: BLE001 - any other kind is what is looked for
        print(repr(error), file=sys.stderr)
        return "other"
    return "survived"


@contextlib.contextmanager
def _failing(target: str, call: int, code: int) -> Iterator[dict[str, bool]]:
    """Let the `call`-th call of one way to the disk fail."""
    state = {"has_failed": False}
    count = 0
    real = {"fsync": os.fsync, "replace": os.replace, "write": PackWriter.write}[target]

    def fail(*arguments: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == call:
            state["has_failed"] = True
            raise OSError(code, os.strerror(code))
        return real(*arguments, **more)

    with patch.object(PackWriter if target == "write" else os, target, fail):
        yield state


if __name__ == "__main__":
    main()
