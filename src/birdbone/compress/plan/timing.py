"""Timing files in llama.cpp, each in turns with a reference, in a process of its own: `python -m ... ORDER`.

Theory of operation. The reference stays open; a file is opened beside it, both decode the same number of tokens in
turns, who goes first changing from pair to pair, and the file is closed. The figure is the ratio of each pair: what
else the machine does falls on both. The child is told one file at a time, so that each can be written, timed and
deleted before the next, and a measuring that is stopped keeps what it has.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from birdbone.compress.errors import TimingEndedError
from birdbone.core import BirdboneError, children
from birdbone.core.children import own_output
from birdbone.evaluate.cost.medians import median as median_with_ends
from birdbone.models.llamacpp import LlamaCpp, open_engine

_Turn = tuple[float, float]
"""Seconds a token, by the wall clock and of the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingOrder:
    """What is timed: tokens of a turn, pairs of turns, threads."""

    reference: str
    num_threads: int
    num_decoded: int
    num_turns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Seconds a token of a file and of the reference, pair by pair: by the wall clock, and of all threads.

    With one thread the CPU's seconds count: on a free core they are the wall clock's, and when others take the core
    they stay what they are. Several threads wait for each other by spinning, so there only the wall clock counts.
    """

    num_threads: int
    wall_seconds: tuple[float, ...]
    reference_wall_seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    reference_cpu_seconds: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The file's time over the reference's, the median over pairs."""
        return median(self._ratios)

    @property
    def ratio_ends(self) -> tuple[float, float]:
        """The 95 % interval of that median; the extremes where there are too few pairs for one."""
        found = median_with_ends(self._ratios)
        low = min(self._ratios) if found.low is None else found.low
        high = max(self._ratios) if found.high is None else found.high
        return low, high

    @property
    def wall_ratio(self) -> float:
        """The ratio by the wall clock, whatever the number of threads."""
        pairs = zip(self.wall_seconds, self.reference_wall_seconds, strict=True)
        return median([ours / theirs for ours, theirs in pairs])

    @property
    def reference(self) -> float:
        """Seconds a token of the reference, the median."""
        return median(self._counted[1])

    @property
    def _counted(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if self.num_threads == 1:
            return self.cpu_seconds, self.reference_cpu_seconds
        return self.wall_seconds, self.reference_wall_seconds

    @property
    def _ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(*self._counted, strict=True)]


def turns_from_data(data: Mapping[str, Any]) -> Turns:
    """Return the turns of what `asdict` made of them."""
    seconds = {name: tuple(values) for name, values in data.items() if name != "num_threads"}
    return Turns(num_threads=int(data["num_threads"]), **seconds)


class Timer(Protocol):
    """Times files beside a reference that it holds."""

    def time(self, path: Path) -> Turns:
        """Return the turns of a file."""


OpenTimer = Callable[[TimingOrder], AbstractContextManager[Timer]]
"""Gives what times files, for as long as a block runs."""


class EngineTimer:
    """Times in this process."""

    def __init__(self, order: TimingOrder, reference: LlamaCpp) -> None:
        self._order, self._reference = order, reference

    def time(self, path: Path) -> Turns:
        """Return the turns of a file.

        Raises:
            EngineError: llama.cpp does not take it.
        """
        order, ours, theirs = self._order, list[_Turn](), list[_Turn]()
        with open_engine(path, num_ctx=_num_ctx(order), num_threads=order.num_threads) as engine:
            for turn in range(-1, order.num_turns):
                pair = [(ours, engine), (theirs, self._reference)]
                for kept, each in pair if turn % 2 == 0 else reversed(pair):
                    taken = _take_turn(each, order.num_decoded)
                    if turn >= 0:
                        kept.append(taken)
        return Turns(
            num_threads=order.num_threads,
            wall_seconds=tuple(wall for wall, _ in ours),
            reference_wall_seconds=tuple(wall for wall, _ in theirs),
            cpu_seconds=tuple(cpu for _, cpu in ours),
            reference_cpu_seconds=tuple(cpu for _, cpu in theirs),
        )


def _take_turn(engine: LlamaCpp, num_decoded: int) -> _Turn:
    wall, cpu = time.perf_counter(), time.process_time()
    engine.generate_greedy([0], num_decoded)
    return (time.perf_counter() - wall) / num_decoded, (time.process_time() - cpu) / num_decoded


@contextmanager
def open_in_process(order: TimingOrder) -> Iterator[EngineTimer]:
    """Give what times files in this process.

    Raises:
        EngineError: llama.cpp is absent, or does not take the reference.
    """
    with open_engine(Path(order.reference), num_ctx=_num_ctx(order), num_threads=order.num_threads) as reference:
        yield EngineTimer(order, reference)


class _ChildTimer:
    def __init__(self, process: children.Child) -> None:
        self._process = process

    def time(self, path: Path) -> Turns:
        try:
            found = self._process.ask(str(path))
        except children.ChildEndedError as end:
            raise TimingEndedError(f"The timing of {path.name} ended without a result: {end}.", log=end.log) from end
        if "error" in found:
            raise TimingEndedError.from_dict(found["error"])
        return turns_from_data(found)


@contextmanager
def open_child(order: TimingOrder) -> Iterator[Timer]:
    """Give what times files in a process of its own.

    Raises what `time` raises for the reference at the first file.
    """
    with children.open_child(__name__, json.dumps(asdict(order))) as process:
        yield _ChildTimer(process)


def _num_ctx(order: TimingOrder) -> int:
    return order.num_decoded + 8


def _serve(order: TimingOrder) -> None:
    answers = own_output()
    try:
        with open_in_process(order) as timer:
            for line in sys.stdin:
                answers.write(json.dumps(asdict(timer.time(Path(json.loads(line))))) + "\n")
                answers.flush()
    except BirdboneError as failure:
        answers.write(json.dumps({"error": failure.to_dict()}) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve(TimingOrder(**json.loads(sys.argv[1])))
