"""Processes of our own that answer questions line by line: starting one, asking it, and what is known when it ends.

Theory of operation. A child does nothing until it is asked: a line of JSON on standard input is a question, a line on
standard output the answer. Whatever libraries print goes to standard error, which is kept for the last words of a child
that ends. A child waits for work as its libraries do by themselves: a run makes waiting threads sleep, with which two
threads of llama.cpp decode slower than one. It has a session of its own, so that Ctrl-C reaches the parent alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any

_WAIT_POLICY_VARIABLE = "OMP_WAIT_POLICY"
_LAST_LINES = 20


class ChildEndedError(Exception):
    """A child ended before it answered; a room says what that means to a person."""

    def __init__(self, status: int, log: list[str]) -> None:
        self.status, self.log = status, log
        """The exit status, or the signal with a minus before it, and the last lines on standard error."""
        last_words = log[-1] if log else f"exit status {status}"
        super().__init__(f"signal {-status}" if status < 0 else last_words)


@dataclass(frozen=True, slots=True)
class Child:
    """A process that answers."""

    process: subprocess.Popen[str]
    errors: IO[str]

    def ask(self, question: Any) -> Any:
        """Return the answer to a question, both plain data.

        Raises:
            ChildEndedError: the process ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self.process.wait()
            self.errors.seek(0)
            raise ChildEndedError(status, self.errors.read().strip().splitlines()[-_LAST_LINES:])
        return json.loads(line)


@contextmanager
def open_child(module: str, order: str) -> Iterator[Child]:
    """Start a module with its order as the only argument; the process ends with the block."""
    environment = {name: value for name, value in os.environ.items() if name != _WAIT_POLICY_VARIABLE}
    with (
        TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-P", "-m", module, order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Child(process, errors)
        finally:
            process.kill()
            process.wait()
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # a question that nobody was there to read
                process.stdin.close()


def own_output() -> IO[str]:
    """Return the standard output of a child, and point what libraries print to standard error."""
    kept = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return kept
