"""Real processes that go on with a run, so that a test can kill them.

A server loads torch, transformers and DBOS once and forks a child for each request: killing ten processes costs ten
forks, not ten times the seconds of those imports. Run as a script this file is the server; imported, it is the client.
A child may be told to kill itself some time after the first progress report of a step.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

OPTIONS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which run of which workspace to go on with, and when to die: `delay` seconds after a step's first report."""

    folder: str
    run_id: str
    ending: str
    kill_in: str | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended: its exit status (-9: killed), and the error that left `resume_run`."""

    status: int
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A running child."""

    server: Server
    pid: int
    ending: Path

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def is_alive(self) -> bool:
        return self.server.poll(self.pid) is None

    def wait(self, timeout_seconds: float = 90.0) -> Ending:
        """Return how the child ended; one that does not end in time is killed, and fails the test."""
        deadline = time.monotonic() + timeout_seconds
        while (status := self.server.poll(self.pid)) is None:
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                raise AssertionError(f"The process did not end within {timeout_seconds} s.")
            time.sleep(0.02)
        error = json.loads(self.ending.read_text())["error"] if self.ending.exists() else None
        return Ending(status=status, error=error)


class Server:
    """The process that forks. Use it as a context manager."""

    def __init__(self, folder: Path, *, model_folder: Path) -> None:
        self._folder = folder
        self._log = (folder / "children.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(model_folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | OPTIONS,
            text=True,
        )
        self._statuses: dict[int, int] = {}
        self._num_children = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._log.close()

    def start(self, folder: Path, run_id: str, *, kill_in: str | None = None, delay: float = 0.0) -> Child:
        """Go on with a run in a new process. `folder` is the one that holds the workspace."""
        self._num_children += 1
        ending = self._folder / f"ending-{self._num_children}.json"
        request = Request(folder=str(folder), run_id=run_id, ending=str(ending), kill_in=kill_in, delay=delay)
        return Child(server=self, pid=self._ask({"start": dataclasses.asdict(request)}), ending=ending)

    def poll(self, pid: int) -> int | None:
        """Return the exit status of a child, negative where a signal ended it, or None while it lives."""
        if pid not in self._statuses and (status := self._ask({"poll": pid})) is not None:
            self._statuses[pid] = status
        return self._statuses.get(pid)

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def serve() -> None:
    """Fork a child for each line of standard input that asks for one, and say how children ended."""
    while line := sys.stdin.readline():
        match json.loads(line):
            case {"start": fields}:
                pid = os.fork()
                if pid == 0:
                    become_child(Request(**fields))
                answer: int | None = pid
            case {"poll": child}:
                pid, status = os.waitpid(child, os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if pid else None
        print(json.dumps(answer), flush=True)


def become_child(request: Request) -> NoReturn:
    """Go on with the run, write how it ended, and exit; without the interpreter's clearing up, which takes seconds."""
    from birdbone.core import BirdboneError, find_workspace
    from birdbone.pipeline import running

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started deaf to it
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    seen: set[str] = set()

    def listen(label: str, what: str, done: int, total: int) -> None:
        if label == request.kill_in and label not in seen:
            timer = threading.Timer(request.delay, os.kill, (os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()
        seen.add(label)

    error = None
    try:
        running.resume_run(find_workspace(Path(request.folder)), request.run_id, listener=listen)
    except BirdboneError as known:
        error = known.to_dict()
    except BaseException:  # noqa: BLE001 - the edge of the child: nothing may get back into the server's loop
        traceback.print_exc()
        os._exit(1)
    Path(request.ending).write_text(json.dumps({"error": error}, default=str))
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    os._exit(0)


def load_everything(model_folder: str) -> None:
    """Load what a child would load, down to what libraries load when they are first used; start no thread."""
    import torch

    import birdbone.pipeline.running  # noqa: F401
    from birdbone.models import load_model, use_threads
    from birdbone.pipeline.catalogue import CATALOGUE, load_step

    use_threads(1)
    for kind in CATALOGUE:
        load_step(kind)
    load_model(model_folder)
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)  # a backward pass would start threads, and threads do not survive a fork
    torch.optim.Adam([parameter]).step()


if __name__ == "__main__":
    load_everything(sys.argv[1])
    serve()
