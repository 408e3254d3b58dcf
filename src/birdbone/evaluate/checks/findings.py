"""What a check found, and the words that all checks share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from birdbone.core import BirdboneError, Strict
from birdbone.evaluate.benchmarks.judge import Likelihood

CheckOutcome = Literal["pass", "warn", "fail", "skipped"]
"""Skipped says that nothing was looked at, and is never a pass."""

ENGINE_ERRORS = (BirdboneError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What an engine may raise on a question it cannot take; ours raise the first kind only."""

_ROUNDING_NATS = 1e-3  # a likelihood of one token that is sure may come out a hair above 0


class CheckResult(Strict):
    """One check of one model."""

    name: str
    """Dotted: module and what was looked at."""
    outcome: CheckOutcome
    reason: str
    """Why, in plain words with the figures."""
    figures: dict[str, int | Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)
    """All finite; what was not measured is absent."""
    num_items: int = Field(default=0, ge=0)
    """Texts, requests or items that were looked at."""


def judged(name: str, faults: Sequence[str], good: str, *, num_items: int, **figures: float) -> CheckResult:
    """Return a fail that names the first fault and counts all, or a pass that says `good`."""
    more = f" ({len(faults)} faults in all)" if len(faults) > 1 else ""
    return CheckResult(
        name=name,
        outcome="fail" if faults else "pass",
        reason=f"{faults[0]}{more}" if faults else good,
        figures={**figures, "num_faults": len(faults)},
        num_items=num_items,
    )


def skipped(name: str, reason: str) -> CheckResult:
    """Return a result that says why nothing was looked at."""
    return CheckResult(name=name, outcome="skipped", reason=reason)


def fault_of(likelihood: Likelihood) -> str | None:
    """Return what is wrong with a likelihood by itself: no number, or more likely than sure."""
    if not math.isfinite(likelihood.logprob):
        return f"a likelihood is {likelihood.logprob}"
    return f"a log-likelihood is {likelihood.logprob:.4g}, above 0" if likelihood.logprob > _ROUNDING_NATS else None


def largest_gap(pairs: Iterable[tuple[Likelihood, Likelihood]]) -> tuple[float, int]:
    """Return the largest difference in nats and the place of its pair; (0, 0) of none.

    A figure that is no number differs by infinity from any, itself included.
    """
    gaps = [_gap(one.logprob, other.logprob) for one, other in pairs]
    worst = max(range(len(gaps)), key=gaps.__getitem__, default=0)
    return (gaps[worst], worst) if gaps else (0.0, 0)


def words_of(error: BaseException) -> str:
    """Return an error as a reason quotes it."""
    return f"{type(error).__name__}: {error}"


def _gap(one: float, other: float) -> float:
    return abs(one - other) if math.isfinite(one) and math.isfinite(other) else math.inf
