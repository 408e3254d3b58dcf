"""A median with its interval, and such a figure as a measurement."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from birdbone.core import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """A median with a 95 % interval that assumes nothing about the distribution."""

    value: float
    """The median."""
    low: float | None
    """Lower end; absent under 6 values, where no such interval exists."""
    high: float | None
    """Upper end."""


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


def median_measurement(
    name: str, figure: Median, *, unit: str, method: str, artefact: str, sample_size: int
) -> Measurement:
    """Return a median as a measurement that was taken, not counted."""
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


def _interval_depth(count: int) -> int:
    """Return the largest k with P(k-th smallest <= median <= k-th largest) >= 0.95, or 0 if there is none."""
    depth, tail = 0, 0.0
    for k in range(count // 2):
        tail += math.comb(count, k) / 2**count
        if 2 * tail > 0.05:
            break
        depth = k + 1
    return depth
