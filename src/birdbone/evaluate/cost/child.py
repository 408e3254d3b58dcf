"""Asking the processes that hold models: questions, answers, and what their end means."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from birdbone.core import Strict, children
from birdbone.evaluate.cost.worker import Order
from birdbone.evaluate.errors import CostWorkerError

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
    process: children.Child

    def ask(self, question: str, kind: type[AnswerT], **arguments: Any) -> AnswerT:
        """Return the answer to a question.

        Raises:
            CostWorkerError: the worker ended; or, with the code and kind of what it raised, it could not do it.
        """
        try:
            found = self.process.ask({"ask": question, **arguments})
        except children.ChildEndedError as end:
            raise CostWorkerError(
                f"The process that held {self.order.spec} ended at `{question}`: {end}",
                hint=_MEMORY_HINT if end.status == -signal.SIGKILL else None,
                log=end.log,
            ) from end
        if "error" in found:
            raise CostWorkerError.from_dict(found["error"])
        return kind.model_validate(found["answer"])


@contextmanager
def open_child(order: Order) -> Iterator[Child]:
    """Start a worker; it ends with the block."""
    with children.open_child(_MODULE, order.model_dump_json()) as process:
        yield Child(order, process)
