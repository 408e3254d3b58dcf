"""The process that holds one model while it is measured: `python -m birdbone.evaluate.cost.worker ORDER`.

Theory of operation. A fresh process holds one model and nothing else, so that its memory is the model's own. Two
workers can be asked in turns, and one that is not asked uses no time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO, Any

import torch

from birdbone.core import BirdboneError, Strict
from birdbone.core.children import own_output
from birdbone.evaluate.cost.energy import EnergyMeters, find_meters
from birdbone.evaluate.cost.probe import probe_machine
from birdbone.evaluate.cost.profiling import profile_phase
from birdbone.evaluate.cost.results import Load, MachineRates, Memory, Profile, Turn
from birdbone.evaluate.cost.runners import Runner, TorchRunner, device_name, open_runner
from birdbone.watch import ResourceSample, sample_resources


class Order(Strict):
    """What a worker is to hold."""

    spec: str
    engine: str
    dtype: str
    num_threads: int
    num_ctx: int


class Surroundings(Strict):
    """What a worker says of where it computes."""

    device: str
    meters: str
    """Names of the energy meters; empty where there are none that may be read."""
    no_meters_reason: str


class Worker:
    """Answers questions about one model; the model is loaded by the first."""

    def __init__(self, order: Order, stack: ExitStack) -> None:
        self._order = order
        self._stack = stack
        self._runner: Runner | None = None
        self._device = device_name() if order.engine == "torch" else "cpu"
        self._meters: EnergyMeters = find_meters(has_gpu=self._device == "cuda")

    def load(self) -> Load:
        """Load the model, once."""
        before = sample_resources().rss_bytes
        order = self._order
        turn = self._timed(1, lambda: self._open(order))
        return Load(
            wall_seconds=turn.wall_seconds,
            cpu_seconds=turn.cpu_seconds,
            before_bytes=before,
            peak_bytes=sample_resources().lifetime_peak_rss_bytes,
        )

    def surroundings(self) -> Surroundings:
        """Say where this computes."""
        meters = self._meters
        return Surroundings(device=self._device, meters=meters.names, no_meters_reason=meters.reason)

    def prefill(self, num_tokens: int) -> Turn:
        """Time a prompt up to its first token."""
        return self._timed(num_tokens, lambda: self._loaded.prefill(num_tokens))

    def decode(self, num_prompt: int, num_tokens: int) -> Turn:
        """Time the tokens after a prompt, whose own time is not counted."""
        self._loaded.ready(num_prompt)
        return self._timed(num_tokens, lambda: self._loaded.decode(num_tokens))

    def memory(self) -> Memory:
        """Say how much memory is and was held."""
        sample: ResourceSample = sample_resources()
        gpu_peak_bytes = torch.cuda.max_memory_allocated() if self._device == "cuda" else None
        return Memory(
            resident_bytes=sample.rss_bytes,
            peak_bytes=sample.lifetime_peak_rss_bytes,
            gpu_peak_bytes=gpu_peak_bytes,
        )

    def probe(self) -> MachineRates:
        """Say what this machine does at its best, with the threads of the engine."""
        order = self._order
        torch.set_num_threads(order.num_threads)
        dtype = getattr(torch, order.dtype) if order.engine == "torch" else torch.float32
        return probe_machine(dtype=dtype, device=self._device)

    def profile(self, num_prompt: int, num_tokens: int, phase: str) -> Profile:
        """Say where the time of a phase goes; torch only."""
        runner = self._loaded
        assert isinstance(runner, TorchRunner), "only torch can be looked into"
        if phase == "prefill":
            return profile_phase(runner.model, lambda: runner.prefill(num_prompt), name=phase, num_tokens=num_prompt)
        runner.ready(num_prompt)
        return profile_phase(runner.model, lambda: runner.decode(num_tokens), name=phase, num_tokens=num_tokens)

    @property
    def _loaded(self) -> Runner:
        assert self._runner is not None, "the first question is `load`"
        return self._runner

    def _open(self, order: Order) -> None:
        opened = open_runner(
            order.spec, order.engine, dtype=order.dtype, num_threads=order.num_threads, num_ctx=order.num_ctx
        )
        self._runner = self._stack.enter_context(opened)

    def _timed(self, num_tokens: int, work: Callable[[], None]) -> Turn:
        joules, wall, cpu = self._meters.read(), time.perf_counter(), time.process_time()
        work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Turn(
            num_tokens=num_tokens,
            wall_seconds=wall,
            cpu_seconds=cpu,
            joules=self._meters.joules_between(joules, self._meters.read()),
        )


def answer(worker: Worker, question: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a question, or the error that a room raised."""
    arguments = dict(question)
    try:
        found: Strict = getattr(worker, arguments.pop("ask"))(**arguments)
    except BirdboneError as error:
        return {"error": error.to_dict()}
    return {"answer": found.model_dump()}


def serve(order: Order, questions: IO[str], answers: IO[str]) -> None:
    """Answer every question until there are no more."""
    with ExitStack() as stack:
        worker = Worker(order, stack)
        for line in questions:
            answers.write(json.dumps(answer(worker, json.loads(line))) + "\n")
            answers.flush()


if __name__ == "__main__":
    serve(Order.model_validate_json(sys.argv[1]), sys.stdin, own_output())
