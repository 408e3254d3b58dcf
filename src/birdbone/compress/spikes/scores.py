"""Five detectors of a rise, each a recurrence over deviations in standard deviations; the names of all scores.

- deviation: the robust z-score of one step. Source: Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers,
  sec. 3; differs: the spread is a clipped running mean of absolute deviations, not a median.
- average: the sum of the last four deviations over the root of four.
- cusum: S = max(0, S + u - k). Source: Page 1954, Biometrika 41, sec. 2; k is half the rise of one standard deviation.
- page_hinkley: m = m + u - mean(u) - delta, less its minimum so far; as `river.drift.PageHinkley` with alpha 1.
- spread: the same cumulative sum of |u| less its mean for normal noise: a loss that swings to both sides.
- trend: a slow drift of the loss itself, kept by the baseline; it warns and does not vote.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, get_args

ScoreName = Literal["deviation", "average", "cusum", "page_hinkley", "spread", "trend"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
VOTERS: tuple[ScoreName, ...] = SCORES[:-1]

_NUM_AVERAGED = 4
_CUSUM_SLACK = 0.5
_PAGE_HINKLEY_DELTA = 0.25
_SPREAD_SLACK = 1.0
_CAP = 25.0  # one step may not fill a sum so far that it alarms long after


@dataclass(slots=True)
class Scores:
    """The state of all detectors. `take` gives each one's score after the next deviation."""

    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_NUM_AVERAGED))
    _cusum: float = 0.0
    _spread: float = 0.0
    _count: int = 0
    _mean: float = 0.0
    _sum: float = 0.0
    _lowest: float = 0.0

    def take(self, deviation: float) -> dict[ScoreName, float]:
        """Return the voters' scores after a finite deviation; larger is more alarming."""
        u = min(max(deviation, -_CAP), _CAP)
        self._recent.append(u)
        self._cusum = max(0.0, self._cusum + u - _CUSUM_SLACK)
        self._spread = max(0.0, self._spread + abs(u) - math.sqrt(2 / math.pi) - _SPREAD_SLACK)
        return {
            "deviation": deviation,
            "average": sum(self._recent) / math.sqrt(_NUM_AVERAGED),
            "cusum": self._cusum,
            "page_hinkley": self._page_hinkley(u),
            "spread": self._spread,
        }

    def _page_hinkley(self, u: float) -> float:
        self._count += 1
        self._mean += (u - self._mean) / self._count
        self._sum += u - self._mean - _PAGE_HINKLEY_DELTA
        self._lowest = min(self._lowest, self._sum)
        return self._sum - self._lowest
