"""Many rounds and many at once: memory must not grow, and answers must be those of one at a time."""

from __future__ import annotations

import ctypes
import gc
import math
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol, runtime_checkable

import numpy as np
import psutil

from birdbone.evaluate.benchmarks.judge import Continuation, Judge, Likelihood
from birdbone.evaluate.checks.findings import ENGINE_ERRORS, CheckResult, judged, largest_gap, skipped, words_of
from birdbone.evaluate.statistics import CONFIDENCE

MAX_GROWTH_BYTES = 64 * 1024
"""Growth a round that is not yet a leak."""

_MIN_ROUNDS = 4


@runtime_checkable
class AllowsConcurrency(Protocol):
    """A judge that may be asked from so many threads at once. What does not say so is never asked by two."""

    num_parallel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Growth a step, with its 95 % interval."""

    value: float
    low: float
    high: float


def fit_slope(values: Sequence[float]) -> Slope:
    """Return the slope of the least-squares line through values one step apart.

    The interval holds for errors that are independent and alike; memory comes in jumps, so take it as a guide.
    Source: Student's interval for a slope, e.g. Draper and Smith 1998, Applied Regression Analysis, section 1.4.

    Raises:
        ValueError: there are fewer than four values.
    """
    if len(values) < _MIN_ROUNDS:
        raise ValueError(f"A slope with an interval needs {_MIN_ROUNDS} values; there are {len(values)}.")
    y_N = np.asarray(values, dtype=np.float64)
    x_N = np.arange(len(y_N)) - (len(y_N) - 1) / 2
    spread = float(x_N @ x_N)
    slope = float(x_N @ (y_N - y_N.mean())) / spread
    left_N = y_N - y_N.mean() - slope * x_N
    error = math.sqrt(float(left_N @ left_N) / (len(y_N) - 2) / spread)
    half = student_quantile((1 + CONFIDENCE) / 2, len(y_N) - 2) * error
    return Slope(value=slope, low=slope - half, high=slope + half)


def student_quantile(probability: float, num_freedom: int) -> float:
    """Return the quantile of Student's t, right to 2 % from 2 degrees of freedom on and to 0.1 % from 6.

    Source: Abramowitz and Stegun 1964, 26.7.5. Symbols: x_p = z, nu = n. 2 degrees have a closed form, used instead.
    """
    if num_freedom == 2:
        return (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    z, n = NormalDist().inv_cdf(probability), float(num_freedom)
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / n**power for power, term in enumerate(terms, start=1))


def resident_bytes() -> int:
    """Return the memory that this process holds, young garbage collected and free pages given back.

    Without the latter a leak hides for long in what the process once freed: one of 1 MB a round had a slope of 0.
    """
    gc.collect(1)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc's; musl has none
        trim(0)
    held: int = psutil.Process().memory_info().rss
    return held


def check_memory(
    judge: Judge,
    requests: Sequence[Continuation],
    *,
    num_rounds: int = 20,
    num_warm_up: int = 5,
    max_growth_bytes: int = MAX_GROWTH_BYTES,
    read_bytes: Callable[[], int] = resident_bytes,
) -> CheckResult:
    """Ask the same questions over and over and watch the memory of this process; what runs in another is not seen.

    Args:
        num_rounds: watched, at least four.
        num_warm_up: rounds before, in which buffers and caches may fill.
        max_growth_bytes: a round; a fail only if the whole interval of the growth is above it.
        read_bytes: gives what is held now.
    """
    if not requests:
        return skipped("stress.memory", "There was no question.")
    for _ in range(num_warm_up):
        judge.score(requests)
    held = []
    for _ in range(max(_MIN_ROUNDS, num_rounds)):
        judge.score(requests)
        held.append(read_bytes())
    slope = fit_slope(held)
    said = f"Memory grows by {slope.value:.0f} bytes a round, between {slope.low:.0f} and {slope.high:.0f}"
    result = judged(
        "stress.memory",
        [f"{said}; {max_growth_bytes} are allowed."] if slope.low > max_growth_bytes else [],
        f"{said}, over {len(held)} rounds.",
        num_items=len(held) * len(requests),
        growth_bytes=slope.value,
        low=slope.low,
        high=slope.high,
        num_rounds=len(held),
    )
    if result.outcome == "pass" and slope.value > max_growth_bytes:
        reason = f"{said}; {max_growth_bytes} are allowed, and the interval leaves it open."
        return result.model_copy(update={"outcome": "warn", "reason": reason})
    return result


def check_concurrency(judge: Judge, requests: Sequence[Continuation], *, tolerance_nats: float) -> CheckResult:
    """Ask from as many threads at once as the judge says it allows; each answer must be that of asking alone.

    Args:
        tolerance_nats: what rounding may change in the sum of a continuation.
    """
    name = "stress.concurrency"
    if not isinstance(judge, AllowsConcurrency):
        return skipped(name, "The engine does not say that it may be asked from several threads.")
    if not requests:
        return skipped(name, "There was no question.")
    alone = [judge.score([request])[0] for request in requests]

    def ask(number: int) -> Likelihood:
        return judge.score([requests[number]])[0]

    try:
        with ThreadPoolExecutor(judge.num_parallel) as pool:
            together = list(pool.map(ask, range(len(requests))))
    except ENGINE_ERRORS as error:
        return judged(name, [f"Asked at once, the engine gave up. {words_of(error)}"], "", num_items=len(requests))
    gap, place = largest_gap(zip(alone, together, strict=True))
    fault = f"Request {place} has {alone[place].logprob:.6g} nats alone and {together[place].logprob:.6g} at once."
    return judged(
        name,
        [fault] if gap > tolerance_nats else [],
        f"{len(requests)} answers from {judge.num_parallel} threads stay within {tolerance_nats:.3g} nats.",
        num_items=len(requests),
        num_parallel=judge.num_parallel,
    )
