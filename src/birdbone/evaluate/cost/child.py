"""Asking the processes that hold models: starting them, questions and answers, and their ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any, Protocol, TypeVar

from birdbone.core import Strict
from birdbone.evaluate.cost.worker import Order
from birdbone.evaluate.errors import CostWorkerError

_WAIT_POLICY_VARIABLE = "OMP_WAIT_POLICY"
_MODULE = "birdbone.evaluate.cost.worker"
_MEMORY_HINT = "A kernel that runs out of memory ends a process so: free some, or measure one model at a time."

AnswerT = TypeVar("AnswerT", bound=Strict)


class Asked(Protocol):
    """What holds a model and answers questions about it."""

    def ask(self, question: str, kind: type[AnswerT], **arguments: Any) -> AnswerT:
        """Return the answer to a question."""


OpenWorker = Callable[[Order], AbstractContextManager[Asked]]
"""Gives what holds a model, for as long as a block runs."""


@dataclass(frozen=True, slots=True)
class Child:
    """A worker in a process of its own."""

    order: Order
    process: subprocess.Popen[str]
    errors: IO[str]

    def ask(self, question: str, kind: type[AnswerT], **arguments: Any) -> AnswerT:
        """Return the answer to a question.

        Raises:
            CostWorkerError: the worker ended; or, with the code and kind of what it raised, it could not do it.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"ask": question, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise self._ended(question)
        found = json.loads(line)
        if "error" in found:
            raise CostWorkerError.from_dict(found["error"])
        return kind.model_validate(found["answer"])

    def _ended(self, question: str) -> CostWorkerError:
        status = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        reason = f"signal {-status}" if status < 0 else lines[-1] if lines else f"exit status {status}"
        return CostWorkerError(
            f"The process that held {self.order.spec} ended at `{question}`: {reason}",
            hint=_MEMORY_HINT if status == -signal.SIGKILL else None,
            log=lines[-20:],
        )


@contextmanager
def open_child(order: Order) -> Iterator[Child]:
    """Start a worker; it ends with the block.

    It waits for work as libraries do by themselves: a run makes waiting threads sleep, with which two threads of
    llama.cpp decode slower than one.
    """
    environment = {name: value for name, value in os.environ.items() if name != _WAIT_POLICY_VARIABLE}
    command = [sys.executable, "-P", "-m", _MODULE, order.model_dump_json()]
    with (
        TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,  # so that Ctrl-C reaches the parent alone, which then ends it
        ) as process,
    ):
        try:
            yield Child(order, process, errors)
        finally:
            process.kill()
            process.wait()
