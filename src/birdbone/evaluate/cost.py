"""What a model costs: bytes, bits a weight, bytes read a token, and decode rates of two engines side by side."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from birdbone.core import Basis, Measurement
from birdbone.evaluate.errors import NoTokensError

DEFAULT_REPEATS = 7
"""Timed turns of each engine; from 6 on, a median has a 95 % interval."""

Decode = Callable[[], int]
"""Decodes some tokens and says how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """A median with a 95 % interval that assumes nothing about the distribution."""

    value: float
    """The median."""
    low: float | None
    """Lower end; absent under 6 values, where no such interval exists."""
    high: float | None
    """Upper end."""


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
        rate, cpu = self.tokens_per_second, self.cpu_seconds_per_token
        return (
            _row("decode_rate", rate, unit="token/s", method=method, artefact=artefact, sample_size=self.num_tokens),
            _row("decode_cpu_time", cpu, unit="s/token", method=method, artefact=artefact, sample_size=self.num_tokens),
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
        return _row(
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


def median(values: Sequence[float]) -> Median:
    """Return the median with the narrowest interval between two order statistics that covers it in 95 of 100 cases.

    Source: sign-test interval, for example Conover 1999, Practical Nonparametric Statistics, section 3.2.
    """
    ordered = sorted(values)
    depth = _interval_depth(len(ordered))
    return Median(
        value=statistics.median(ordered),
        low=ordered[depth - 1] if depth else None,
        high=ordered[-depth] if depth else None,
    )


def size_measurements(*, artefact: str, size_bytes: int, num_weights: int) -> tuple[Measurement, ...]:
    """Return `size` and `bits_per_weight` of a stored file.

    Args:
        artefact: digest of the file.
        size_bytes: its size on the disk, everything in it included.
        num_weights: weights of the model before any of them was dropped; tied weights count once.
    """
    bits = 8 * size_bytes / num_weights
    return (
        _plain("size", size_bytes, unit="byte", method="size of the stored file", artefact=artefact),
        _plain(
            "bits_per_weight",
            bits,
            unit="bit/weight",
            method=f"8 x stored bytes / {num_weights:,} weights",
            artefact=artefact,
        ),
    )


def bytes_per_token(tensor_bytes: Mapping[str, int], *, lookup_rows: Mapping[str, int] | None = None) -> int:
    """Return the weight bytes that decoding one token reads, from the stored size of each tensor.

    Every tensor is read once. Of a table that is only looked up (an input embedding that is not also the output head)
    one row is read. The cache of keys and values is not counted.

    Args:
        tensor_bytes: stored bytes of each tensor.
        lookup_rows: for each table that is only looked up, its number of rows.
    """
    rows = lookup_rows or {}
    return sum(math.ceil(size / rows.get(name, 1)) for name, size in tensor_bytes.items())


def bytes_per_token_measurement(
    tensor_bytes: Mapping[str, int], *, artefact: str, lookup_rows: Mapping[str, int] | None = None
) -> Measurement:
    """Return `bytes_per_token` as an estimate: it is counted from the stored tensors, not seen on the memory bus."""
    return _plain(
        "bytes_per_token",
        bytes_per_token(tensor_bytes, lookup_rows=lookup_rows),
        unit="byte/token",
        method="sum of stored tensor sizes, one row of a looked-up table, without the key-value cache",
        artefact=artefact,
        is_estimate=True,
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


def _interval_depth(count: int) -> int:
    """Return the largest k with P(k-th smallest <= median <= k-th largest) >= 0.95, or 0 if there is none."""
    depth, tail = 0, 0.0
    for k in range(count // 2):
        tail += math.comb(count, k) / 2**count
        if 2 * tail > 0.05:
            break
        depth = k + 1
    return depth


def _row(name: str, figure: Median, *, unit: str, method: str, artefact: str, sample_size: int) -> Measurement:
    return Measurement(
        name=name,
        value=figure.value,
        unit=unit,
        method=method,
        artefact=artefact,
        sample_size=sample_size,
        low=figure.low,
        high=figure.high,
    )


def _plain(name: str, value: float, *, unit: str, method: str, artefact: str, is_estimate: bool = False) -> Measurement:
    basis: Basis = "estimated" if is_estimate else "measured"
    return Measurement(name=name, value=value, unit=unit, method=method, artefact=artefact, basis=basis)
