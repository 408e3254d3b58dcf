"""Decode rates of two engines in this process, timed in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from birdbone.core import Measurement
from birdbone.evaluate.cost.medians import Median, median, median_measurement
from birdbone.evaluate.errors import NoTokensError

DEFAULT_REPEATS = 7
"""Timed turns of each engine; from 6 on, a median has a 95 % interval."""

Decode = Callable[[], int]
"""Decodes some tokens and says how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRate:
    """How fast an engine decodes."""

    tokens_per_second: Median
    """By the wall clock."""
    cpu_seconds_per_token: Median
    """Of all threads of this process."""
    num_tokens: int
    """Tokens decoded in all timed turns."""
    repeats: int
    """Timed turns."""

    def measurements(self, *, artefact: str, engine: str) -> tuple[Measurement, ...]:
        """Return `decode_rate` and `decode_cpu_time` as measurements on `artefact`.

        Args:
            artefact: digest of the file that the engine ran.
            engine: engine and threads, such as `llama.cpp, 2 threads`.
        """
        method = f"{engine}, median of {self.repeats} turns, alternating with the other engine"
        return tuple(
            median_measurement(name, figure, unit=unit, method=method, artefact=artefact, sample_size=self.num_tokens)
            for name, figure, unit in (
                ("decode_rate", self.tokens_per_second, "token/s"),
                ("decode_cpu_time", self.cpu_seconds_per_token, "s/token"),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RateComparison:
    """Two engines, timed in turns."""

    candidate: DecodeRate
    """The one in question."""
    baseline: DecodeRate
    """The one it is compared with."""
    speedup: Median
    """Candidate over baseline, turn by turn: above 1 the candidate is faster."""

    def measurement(self, *, artefact: str, engine: str) -> Measurement:
        """Return `decode_speedup` as a measurement on the candidate `artefact`."""
        method = f"{engine}, median over {self.candidate.repeats} pairs of turns"
        return median_measurement(
            "decode_speedup",
            self.speedup,
            unit="1",
            method=method,
            artefact=artefact,
            sample_size=self.candidate.num_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    num_tokens: int
    wall_seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.num_tokens / self.wall_seconds


def decode_rates(
    candidate: Decode,
    baseline: Decode,
    *,
    repeats: int = DEFAULT_REPEATS,
    num_warmups: int = 1,
    wall_clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> RateComparison:
    """Return the rates of two engines that take turns, so that what else the machine does falls on both alike.

    Who goes first changes from pair to pair. The CPU time is that of this process: an engine in another one shows none.

    Args:
        candidate: decodes some tokens and returns their number.
        baseline: the same.
        repeats: timed turns of each.
        num_warmups: turns of each before the clock counts.
        wall_clock: seconds that pass.
        cpu_clock: seconds of CPU used.

    Raises:
        NoTokensError: an engine decoded nothing.
    """
    for _ in range(num_warmups):
        candidate(), baseline()
    ours: list[_Turn] = []
    theirs: list[_Turn] = []
    for turn in range(repeats):
        pair = [(ours, candidate), (theirs, baseline)]
        for turns, decode in pair if turn % 2 == 0 else reversed(pair):
            turns.append(_take_turn(decode, wall_clock, cpu_clock))
    return RateComparison(
        candidate=_rate(ours),
        baseline=_rate(theirs),
        speedup=median([a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]),
    )


def _take_turn(decode: Decode, wall_clock: Callable[[], float], cpu_clock: Callable[[], float]) -> _Turn:
    wall, cpu = wall_clock(), cpu_clock()
    num_tokens = decode()
    wall, cpu = wall_clock() - wall, cpu_clock() - cpu
    if num_tokens < 1:
        raise NoTokensError("An engine was timed, but it decoded no token.")
    return _Turn(num_tokens=num_tokens, wall_seconds=wall, cpu_seconds=cpu)


def _rate(turns: Sequence[_Turn]) -> DecodeRate:
    return DecodeRate(
        tokens_per_second=median([turn.rate for turn in turns]),
        cpu_seconds_per_token=median([turn.cpu_seconds / turn.num_tokens for turn in turns]),
        num_tokens=sum(turn.num_tokens for turn in turns),
        repeats=len(turns),
    )
