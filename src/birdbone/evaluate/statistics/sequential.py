"""An interval of a mean that holds at every look, so that one may stop whenever one likes. Shapes: N values, M means.

A test at 5 % that is repeated after every wave raises a false alarm far more often than that. This one may be looked at
after each value. Theory of operation: for each mean m that might be the true one, a gambler bets on the values against
it, fairly, so that were m true, the capital would not be expected to grow. It then ever reaches 1 / 0.05 = 20 times the
stake with a chance of at most 5 % (Ville). The means against which nobody has become that rich are the interval. It
only shrinks: what was excluded once stays excluded.
Nothing is assumed but bounded values whose mean, given those before, is the true one.
Source: Waudby-Smith and Ramdas 2024, Journal of the Royal Statistical Society B 86(1), arXiv:2010.09686, theorem 3 and
eq. 26 (hedged capital with predictable plug-in bets). Symbols: K+ and K- are the capitals of who bets on more and on
less, theta = 1/2, c = 1/2, x = value scaled to 0..1. Differs: the means are a grid, and each end lies one step outside
of what is left of it, so that the grid never makes the interval too narrow. The e-value is the same capital, at the
null's mean and off the grid: where the interval leaves the null out, it has reached 1 / (1 - confidence).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from birdbone.evaluate.errors import BadScoresError, BadSettingError
from birdbone.evaluate.statistics.bootstrap import CONFIDENCE
from birdbone.evaluate.statistics.items import require_share

_MAX_BET = 0.5
_MAX_CAPITALS_IN_MEMORY = 1_000_000


class RunningMean:
    """The mean of bounded values that come in one after another, such as differences of two models' scores.

    Args:
        null: the mean that the e-value speaks against.
        low: least value that can come.
        high: largest.
        confidence: level of the interval, over all looks together.
        num_means: M, points of the grid; an end is `(high - low) / (M - 1)` too wide at most.

    Raises:
        BadSettingError: `null` is not strictly within the bounds, a bound is not finite, `confidence` is not a share
            or M is under 3.
    """

    def __init__(
        self,
        *,
        null: float = 0.0,
        low: float = -1.0,
        high: float = 1.0,
        confidence: float = CONFIDENCE,
        num_means: int = 2001,
    ) -> None:
        require_share("confidence", confidence)
        if not -math.inf < low < null < high < math.inf:
            raise BadSettingError(f"{low} < {null} < {high} was expected of the bounds and the null between them.")
        if num_means < 3:
            raise BadSettingError(f"`num_means` is {num_means}; at least 3 was expected.")
        self._low, self._span, self._level = low, high - low, 1 - confidence
        grid_M = np.linspace(0, 1, num_means)
        self._means_M = np.append(grid_M, (null - low) / self._span)  # the last is the null, on the grid or not
        self._is_left_M = np.ones(len(self._means_M), dtype=np.bool_)
        self._log_more_M = np.zeros(len(self._means_M))
        self._log_less_M = np.zeros(len(self._means_M))
        self._num_values, self._sum, self._squares = 0, 0.0, 0.0
        self._highest_log_e = 0.0

    @property
    def num_values(self) -> int:
        """Values that have come in."""
        return self._num_values

    @property
    def mean(self) -> float | None:
        """Their mean; absent before the first."""
        return self._low + self._span * self._sum / self._num_values if self._num_values else None

    @property
    def e_value(self) -> float:
        """The capital of who bet against the null, now: 20 is as good as a p-value of 0.05, and 1 says nothing."""
        return math.exp(min(700.0, float(self._log_capital_M()[-1])))

    @property
    def p_value(self) -> float:
        """The least of 1 / e-value over all values so far; holds at every look."""
        return math.exp(-self._highest_log_e)

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends, in the units of the values; the whole range before the first value."""
        left = np.flatnonzero(self._is_left_M[:-1])
        if not left.size:  # narrower than the grid, or the rare case that every mean was excluded
            left = np.array([np.argmin(self._log_capital_M()[:-1])])
        last = len(self._means_M) - 2
        first_end, last_end = self._means_M[max(0, left[0] - 1)], self._means_M[min(last, left[-1] + 1)]
        return self._low + self._span * float(first_end), self._low + self._span * float(last_end)

    def update(self, values: ArrayLike) -> tuple[float, float]:
        """Take in values, in the order in which they were measured, and return the running interval.

        Values that come together or one by one give the same. An empty row changes nothing.

        Raises:
            BadScoresError: not one row, or a value that is not finite or out of the bounds; then none is taken in.
        """
        scaled_N = self._scaled(values)
        rows = max(1, _MAX_CAPITALS_IN_MEMORY // len(self._means_M))
        for begin in range(0, len(scaled_N), rows):
            self._take(scaled_N[begin : begin + rows])
        return self.interval

    def _scaled(self, values: ArrayLike) -> NDArray[np.float64]:
        values_N = np.asarray(values, dtype=np.float64)
        if values_N.ndim != 1:
            raise BadScoresError(f"The values have the shape {values_N.shape}; one row of them was expected.")
        scaled_N: NDArray[np.float64] = (values_N - self._low) / self._span
        is_bad_N = ~((scaled_N >= 0) & (scaled_N <= 1))
        if is_bad_N.any():
            item = int(np.argmax(is_bad_N))
            bounds = f"{self._low:g} to {self._low + self._span:g}"
            raise BadScoresError(f"Value {item} is {values_N[item]}; {bounds} was expected.", item=item)
        return scaled_N

    def _take(self, scaled_N: NDArray[np.float64]) -> None:
        bet_N = self._bets(scaled_N)
        more_NM = self._log_more_M + _log_growth(scaled_N, bet_N, self._means_M)
        less_NM = self._log_less_M + _log_growth(1 - scaled_N, bet_N, 1 - self._means_M)
        log_capital_NM = np.maximum(more_NM, less_NM) - math.log(2)
        self._is_left_M &= (log_capital_NM < -math.log(self._level)).all(axis=0)
        self._highest_log_e = max(self._highest_log_e, float(log_capital_NM[:, -1].max()))
        self._log_more_M, self._log_less_M = more_NM[-1], less_NM[-1]

    def _bets(self, scaled_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the bet on each value, from those before it alone, and remember the values."""
        index_N = self._num_values + np.arange(1, len(scaled_N) + 1)
        mean_N = (0.5 + self._sum + np.cumsum(scaled_N)) / (index_N + 1)
        squares_N = self._squares + np.cumsum((scaled_N - mean_N) ** 2)
        before_N = np.concatenate([[self._squares], squares_N[:-1]])
        variance_N = (0.25 + before_N) / index_N
        self._num_values, self._sum = int(index_N[-1]), self._sum + float(scaled_N.sum())
        self._squares = float(squares_N[-1])
        bet_N: NDArray[np.float64] = np.sqrt(2 * np.log(2 / self._level) / (variance_N * index_N * np.log1p(index_N)))
        return bet_N

    def _log_capital_M(self) -> NDArray[np.float64]:
        """Return the logarithm of the hedged capital: half the stake on each side, the richer side counts."""
        log_capital_M: NDArray[np.float64] = np.maximum(self._log_more_M, self._log_less_M) - math.log(2)
        return log_capital_M


def _log_growth(
    scaled_N: NDArray[np.float64], bet_N: NDArray[np.float64], means_M: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the running logarithm of the capital of who bets on values above each mean, (N, M).

    A bet is held at `_MAX_BET / m`, so that no value costs more than half the capital.
    """
    with np.errstate(divide="ignore"):
        most_M = _MAX_BET / means_M  # no limit against a mean of 0, which nothing undercuts
    bet_NM = np.minimum(bet_N[:, None], most_M)
    growth_NM: NDArray[np.float64] = np.cumsum(np.log1p(bet_NM * (scaled_N[:, None] - means_M)), axis=0)
    return growth_NM
