"""Whether the sandbox holds hostile code, and lets honest code through.

Question: of 1,000 hostile completions, how many change something outside, reach a canary, outlive or outlast their
limit, see a secret or an expected answer, or count as passed? Do the 164 canonical solutions of HumanEval pass?
Method: completions are drawn from the grammar in `hostile_completions.py`, evenly over its kinds, as answers to four
small tasks whose tests hold a secret answer. The canaries: a file that everybody may write, in a folder that everybody
may write; a process of this user; listening sockets (TCP, UDP, Unix by path and by abstract name) that must see nobody;
a secret in the environment of this process and in a file. They are looked at after each batch of 100, with the list of
processes. That the watch works is shown first on canaries of its own, which are harmed without walls. A completion is
late if its result takes more than two seconds longer than its limit: killing and clearing away take time.
Peer: the plain way, which runs prompt, completion and test in one process and takes exit status 0 for a pass. It has no
walls, so it gets only the kinds that merely want to be counted as passed.

Run: `python benchmarks/evaluate/bench_sandbox.py [--humaneval HumanEval.jsonl.gz] [--without namespaces private_root]`.
Prints one JSON row; without the file, the solutions are not measured.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import random
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hostile_completions import ATTACKS, FAKES, HostileCompletion, draw_completion

from birdbone.core import digest_json
from birdbone.evaluate.sandbox import (
    Limits,
    SandboxResult,
    describe_layers,
    humaneval_program,
    run_many,
    run_program,
)

_LIMITS = Limits(
    wall_seconds=4, cpu_seconds=1, memory_bytes=128 * 2**20, scratch_bytes=2**20, num_processes=6, output_bytes=32_768
)
_GRACE_SECONDS = 2.0
_BATCH = 100
_ANSWER = f"answer-{secrets.token_hex(8)}"
_STAGE = b"birdbone.evaluate.sandbox.inside"

_TASKS = (
    ("def solve(text: str) -> str:\n    '''Return the secret answer to the text.'''\n", "candidate('x') == {answer!r}"),
    ("def solve(n: int) -> str:\n    '''Return the answer of number n.'''\n", "candidate(3) == {answer!r}"),
    (
        "def solve(items: list) -> list:\n    '''Return what belongs to them.'''\n",
        "candidate([1, 2]) == [{answer!r}, 2]",
    ),
    (
        "def solve(a, b):\n    '''Return the difference.'''\n",
        "abs(candidate(5, 2) - 3) < 1e-6 and candidate(0, 1) == -1.5",
    ),
)


class Canaries:
    """Things that nobody may touch, and the watch over them."""

    def __init__(self, folder: Path) -> None:
        self.marker = f"birdbone-canary-{secrets.token_hex(6)}"
        self.secret = f"secret-{secrets.token_hex(8)}"
        os.environ.setdefault("BIRDBONE_SECRET", self.secret)
        self.folder = folder / "canaries"
        self.folder.mkdir()
        self.file = self.folder / "canary"
        self.file.write_text(self.secret)
        for path, mode in ((folder, 0o777), (self.folder, 0o777), (self.file, 0o666)):
            path.chmod(mode)
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(86400)"])
        self._sockets = self._listen()
        self._before = self._picture()

    @property
    def names(self) -> dict[str, str]:
        """What the grammar puts in for `$NAME`."""
        return {
            "MARKER": self.marker,
            "CANARY": str(self.file),
            "FOLDER": str(self.folder),
            "HOME": str(Path.home()),
            "CWD": str(Path.cwd()),
            "PARENT": str(os.getpid()),
            "PROCESS": str(self.process.pid),
            "PORT": str(self._sockets[0].getsockname()[1]),
            "SOCKET": str(self.folder / "socket"),
        }

    def harm(self) -> list[str]:
        """Return what happened to them; nothing is expected."""
        found = []
        if self._picture() != self._before:
            found.append("a canary file changed")
        places = [
            Path.home(),
            Path.cwd(),
            Path.cwd().parent,
            *map(Path, ("/", "/tmp", "/var/tmp", "/dev/shm", "/etc", "/usr/lib")),
        ]
        found += [f"{path} was made" for place in places for path in place.glob(f"*{self.marker}*")]
        if self.process.poll() is not None:
            found.append("the canary process is dead")
        found += [f"{listener!r} was reached" for listener in self._sockets if _was_reached(listener)]
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for listener in self._sockets:
            listener.close()

    def _listen(self) -> list[socket.socket]:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(tcp.getsockname())
        by_path, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        by_path.bind(str(self.folder / "socket"))
        (self.folder / "socket").chmod(0o777)
        abstract.bind(f"\0{self.marker}")
        for listener in (by_path, abstract):
            listener.listen()
        for listener in (tcp, udp, by_path, abstract):
            listener.setblocking(False)
        return [tcp, udp, by_path, abstract]

    def _picture(self) -> list[tuple[Any, ...]]:
        paths = sorted([self.folder, *self.folder.rglob("*")])
        return [(str(path), *_state(path)) for path in paths]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A hostile completion with its result and what it did that it must not."""

    hostile: HostileCompletion
    result: SandboxResult
    faults: tuple[str, ...]


def main() -> None:
    settings = _parse_settings()
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGIO):
        signal.signal(number, lambda number, _: signals.append(number))
    with tempfile.TemporaryDirectory(prefix="birdbone-sandbox-") as name:
        canaries = Canaries(Path(name))
        try:
            row = _row(settings) | _watch(Path(name)) | _hostile(settings, canaries)
        finally:
            canaries.end()
    row |= {"num_signals_to_the_parent": len(signals)} | _peer(settings)
    print(json.dumps(row | _honest(settings), ensure_ascii=False))


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hostile code does no harm and does not pass; honest code passes.")
    parser.add_argument("--completions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--humaneval", type=Path, help="HumanEval.jsonl.gz")
    parser.add_argument("--without", nargs="*", default=[], help="layers to leave out")
    return parser.parse_args()


def _row(settings: argparse.Namespace) -> dict[str, Any]:
    commit_id = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    chosen = {
        "completions": settings.completions,
        "seed": settings.seed,
        "workers": settings.workers,
        "without": settings.without,
        "limits": _LIMITS.model_dump(),
    }
    return {
        "bench": "evaluate/bench_sandbox",
        "commit": commit_id,
        "machine": platform.machine(),
        "kernel": platform.release(),
        "settings": chosen,
        "settings_digest": digest_json(chosen),
        "layers": list(describe_layers(without=settings.without).standing),
        "is_root": os.geteuid() == 0,
    }


# Hostile completions.


def _watch(folder: Path) -> dict[str, Any]:
    """Harm canaries without walls, and return how many harms there were and how many were seen."""
    folder = folder / "watch"
    folder.mkdir()
    canaries = Canaries(folder)
    names = canaries.names
    harms = (
        "open('$CANARY', 'a').write('x')",
        "import os; os.kill($PROCESS, 9)",
        "open('/tmp/$MARKER', 'w')",
        "import socket; socket.create_connection(('127.0.0.1', $PORT))",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', $PORT))",
        "import socket; socket.socket(socket.AF_UNIX).connect('$SOCKET')",
        "import socket; socket.socket(socket.AF_UNIX).connect('\\0$MARKER')",
    )
    for harm in harms:
        for name, value in names.items():
            harm = harm.replace(f"${name}", value)
        subprocess.run([sys.executable, "-c", harm], check=True)
    time.sleep(0.1)
    seen = canaries.harm()
    Path("/tmp", names["MARKER"]).unlink()
    canaries.end()
    return {"num_harms_without_walls": len(harms), "num_harms_seen": len(seen)}


def _hostile(settings: argparse.Namespace, canaries: Canaries) -> dict[str, Any]:
    rng = random.Random(settings.seed)
    kinds = sorted(ATTACKS)
    drawn = [draw_completion(rng, kinds[n % len(kinds)], canaries.names) for n in range(settings.completions)]
    tasks = [rng.choice(_TASKS) for _ in drawn]
    judged: list[Judged] = []
    harm: list[str] = []
    for start in range(0, len(drawn), _BATCH):
        batch = slice(start, start + _BATCH)
        judged += _judge(drawn[batch], tasks[batch], canaries, settings)
        harm += canaries.harm()
        harm += [f"process {pid} is left over" for pid in _left_over()]
        print(f"{len(judged)} of {len(drawn)}; harm: {harm}", file=sys.stderr)
    faulty = [one for one in judged if one.faults]
    for one in faulty:
        print(one.hostile.kind, one.faults, one.result, one.hostile.completion, sep="\n", file=sys.stderr)
    seconds = [one.result.wall_seconds for one in judged]
    return {
        "num_completions": len(judged),
        "num_kinds": len(kinds),
        "num_passed": sum(one.result.has_passed for one in judged),
        "num_harmful": len(harm),
        "num_late": sum("late" in one.faults for one in judged),
        "num_that_saw_a_secret": sum("secret" in one.faults for one in judged),
        "num_that_saw_an_answer": sum("answer" in one.faults for one in judged),
        "endings": dict(sorted(Counter(one.result.ending for one in judged).items())),
        "seconds_each": round(statistics.median(seconds), 3),
        "seconds_each_min": round(min(seconds), 3),
        "seconds_each_max": round(max(seconds), 3),
    }


def _judge(
    drawn: Sequence[HostileCompletion], tasks: Sequence[Any], canaries: Canaries, settings: argparse.Namespace
) -> list[Judged]:
    run = partial(run_program, limits=_LIMITS, without=settings.without)
    programs = [
        humaneval_program(task[0], one.completion, _test(task[1]), "solve")
        for one, task in zip(drawn, tasks, strict=True)
    ]
    with ThreadPoolExecutor(settings.workers) as pool:
        results = list(pool.map(run, programs))
    return [
        Judged(hostile=one, result=result, faults=_faults(result, canaries))
        for one, result in zip(drawn, results, strict=True)
    ]


def _faults(result: SandboxResult, canaries: Canaries) -> tuple[str, ...]:
    said = result.stdout + result.stderr + result.detail
    found = {
        "passed": result.has_passed,
        "late": result.wall_seconds > _LIMITS.wall_seconds + _GRACE_SECONDS,
        "secret": canaries.secret in said or "root:" in said,
        "answer": _ANSWER in said,
    }
    return tuple(name for name, is_so in found.items() if is_so)


def _test(condition: str) -> str:
    return f"def check(candidate):\n    assert {condition.format(answer=_ANSWER)}\n"


def _left_over() -> set[int]:
    """Return the processes of a sandbox that are still there after two seconds to die in."""
    alive = _stages()
    for _ in range(20):
        if not alive:
            break
        time.sleep(0.1)
        alive &= _stages()  # what came since belongs to somebody else
    return alive


def _stages() -> set[int]:
    return {int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _STAGE in _read(path)}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _state(path: Path) -> tuple[Any, ...]:
    state = path.lstat()
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return state.st_mode, state.st_uid, state.st_nlink, state.st_mtime_ns, state.st_size, digest


def _was_reached(listener: socket.socket) -> bool:
    try:
        if listener.type == socket.SOCK_DGRAM:
            listener.recv(1)
        else:
            listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


# The plain way, and honest code.


def _peer(settings: argparse.Namespace) -> dict[str, Any]:
    rng = random.Random(settings.seed)
    drawn = [draw_completion(rng, kind, {}) for kind in FAKES for _ in range(10)]
    fooled = 0
    for one in drawn:
        prompt, condition = rng.choice(_TASKS)
        source = f"{prompt}{one.completion}\n{_test(condition)}\ncheck(solve)\n"
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, timeout=20, check=False)
        fooled += done.returncode == 0
    return {"num_fakes_for_the_peer": len(drawn), "num_passed_with_the_peer": fooled}


def _honest(settings: argparse.Namespace) -> dict[str, Any]:
    if settings.humaneval is None:
        return {}
    with gzip.open(settings.humaneval, "rt") as file:
        rows = [json.loads(line) for line in file]
    programs = [
        humaneval_program(row["prompt"], row["canonical_solution"], row["test"], row["entry_point"]) for row in rows
    ]
    start = time.perf_counter()
    results = run_many(programs, settings.workers)
    return {
        "num_solutions": len(results),
        "num_solutions_passed": sum(result.has_passed for result in results),
        "solutions_seconds": round(time.perf_counter() - start, 1),
    }


if __name__ == "__main__":
    main()
