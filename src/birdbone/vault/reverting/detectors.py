"""Tests for a change in a short series, all written for "higher is worse".

- Robust z: 0.6745 (x - median) / MAD. Source: Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers, section 3.
- Page-Hinkley: Page 1954, Biometrika 41; `river.drift.PageHinkley` decides, without forgetting (alpha 1). The sums in
  the evidence follow the same recurrence: S_t = S_{t-1} + x_t - mean_t - delta, statistic S_t - min S. The onset is the
  observation after the minimum.
- ADWIN: Bifet and Gavalda 2007, SIAM; `river.drift.ADWIN`, asked after each observation, says that there is a change.
  The window it keeps is made of buckets and begins only near the change, so the onset is where two means fit the series
  best: the k that maximizes k (n - k) / n (mean of the last n - k less mean of the first k)^2. Source: Hinkley 1970,
  Biometrika 57.

A detector starts anew after an alarm, as river's do; the newest alarm is the one that is told.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from river.drift import ADWIN, PageHinkley

_MAD_TO_SIGMA = 1 / 0.6745  # of a normal distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustScore:
    """How far a value lies from a window, in robust standard deviations."""

    z: float
    median: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A change that a detector told of. Places are indices into the series."""

    at: int
    """The observation at which it alarmed."""
    start: int
    """The first observation that the detector had seen since it last started anew."""
    onset: int
    """The first observation after the change, as the detector estimates it."""
    statistic: float
    """What the detector compared with its limit (Page-Hinkley), or the difference of the two means (ADWIN)."""


def robust_score(value: float, window: Sequence[float], *, min_spread: float) -> RobustScore:
    """Return how far `value` lies above the median of `window` (not empty).

    Args:
        min_spread: smallest standard deviation to reckon with, in the units of the series.
    """
    median = statistics.median(window)
    spread = max(min_spread, _MAD_TO_SIGMA * statistics.median(abs(x - median) for x in window))
    return RobustScore(z=(value - median) / spread, median=median, spread=spread)


def find_page_hinkley(
    series: Sequence[float], *, delta: float, threshold: float, min_observations: int
) -> Alarm | None:
    """Return the newest alarm that the mean of `series` rose, or None. `delta` and `threshold` are in its units."""
    detector = PageHinkley(min_instances=min_observations, delta=delta, threshold=threshold, alpha=1.0, mode="up")
    found = None
    start = 0
    for place, value in enumerate(series):
        detector.update(value)  # type: ignore[no-untyped-call]  # river is half typed
        if detector.drift_detected:
            sums = page_hinkley_sums(series[start : place + 1], delta=delta)
            lowest = min(sums)
            onset = start + len(sums) - sums[::-1].index(lowest)
            found = Alarm(at=place, start=start, onset=min(onset, place), statistic=sums[-1] - lowest)
            start = place + 1
    return found


def page_hinkley_sums(series: Sequence[float], *, delta: float) -> list[float]:
    """Return the sums S_t of a series; the statistic at t is S_t less their minimum up to t."""
    sums: list[float] = []
    mean = total = 0.0
    for count, value in enumerate(series, start=1):
        mean += (value - mean) / count
        total = total + (value - mean) - delta
        sums.append(total)
    return sums


def find_adwin(series: Sequence[float], *, delta: float, min_window: int, min_observations: int) -> Alarm | None:
    """Return the newest alarm that the mean of `series` changed, or None."""
    detector = ADWIN(delta=delta, clock=1, min_window_length=min_window, grace_period=min_observations)  # type: ignore[no-untyped-call]
    found = None
    start = 0
    for place, value in enumerate(series):
        detector.update(value)  # type: ignore[no-untyped-call]
        if detector.drift_detected:
            seen = series[start : place + 1]
            older = find_split(seen)
            difference = statistics.fmean(seen[older:]) - statistics.fmean(seen[:older])
            found = Alarm(at=place, start=start, onset=start + older, statistic=difference)
            start = place + 1
    return found


def find_split(series: Sequence[float]) -> int:
    """Return how many of the first observations (of at least two) belong before a change of the mean."""
    num, total, head = len(series), math.fsum(series), 0.0
    best, place = -1.0, 1
    for count, value in enumerate(series[:-1], start=1):
        head += value
        difference = (total - head) / (num - count) - head / count
        gain = count * (num - count) / num * difference**2
        if gain > best:
            best, place = gain, count
    return place
