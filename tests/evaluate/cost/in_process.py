"""Workers without a process of their own: all that a real one does, for the seconds that starting one takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.evaluate.cost.made_up import RATES

from birdbone.evaluate.cost.child import AnswerT
from birdbone.evaluate.cost.results import MachineRates
from birdbone.evaluate.cost.worker import Order, Worker, answer


@dataclass(frozen=True)
class InProcess:
    order: Order
    worker: Worker
    log: list[tuple[str, str]]

    def ask(self, question: str, kind: type[AnswerT], **arguments: Any) -> AnswerT:
        self.log.append((question, self.order.engine))
        if kind is MachineRates:  # the probe has a test of its own, and reads half a gigabyte here
            return kind.model_validate(RATES.model_dump())
        asked = json.loads(json.dumps({"ask": question, **arguments}))
        return kind.model_validate(json.loads(json.dumps(answer(self.worker, asked)))["answer"])


@dataclass(frozen=True)
class Workshop:
    """Opens workers, and keeps who was asked what."""

    log: list[tuple[str, str]]

    @contextmanager
    def open(self, order: Order) -> Iterator[InProcess]:
        with ExitStack() as stack:
            yield InProcess(order, Worker(order, stack), self.log)
