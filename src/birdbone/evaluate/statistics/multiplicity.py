"""P-values adjusted for having looked at many tasks. Shape: T tasks.

With twenty tasks and no change at all, one is expected to look changed at 5 %. Holm's method bounds the chance of one
false alarm among all tasks: use it where an alarm undoes work. Benjamini and Hochberg's bounds the expected share of
false ones among the alarms: use it to list tasks that are worth a look.
statsmodels has both, but collects all garbage at each call, a tenth of a second, and loads pandas; here it is the
tests' oracle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from birdbone.evaluate.errors import BadSettingError, TooFewItemsError


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return the adjusted p-values, (T,), in the order given; no task's is under its raw one or above 1.

    Raises:
        BadSettingError: not one row, or a value that is no probability (names the first).
        TooFewItemsError: there is no p-value.

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2), pages 65 to 70.
    """
    raw_T, order_T = _read(p_values)
    times_T = np.arange(len(raw_T), 0, -1)
    return _restore(np.maximum.accumulate(times_T * raw_T[order_T]), order_T)


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return the adjusted p-values, (T,), in the order given; holds for independent or positively dependent tasks.

    Raises:
        BadSettingError: not one row, or a value that is no probability (names the first).
        TooFewItemsError: there is no p-value.

    Source: Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57(1), pages 289 to 300.
    """
    raw_T, order_T = _read(p_values)
    times_T = len(raw_T) / np.arange(1, len(raw_T) + 1)
    return _restore(np.minimum.accumulate((times_T * raw_T[order_T])[::-1])[::-1], order_T)


def _read(p_values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the p-values and the order in which they ascend."""
    raw_T = np.asarray(p_values, dtype=np.float64)
    if raw_T.ndim != 1:
        raise BadSettingError(f"The p-values have the shape {raw_T.shape}; one row of them was expected.")
    if not raw_T.size:
        raise TooFewItemsError("There are no p-values.", num_items=0, needed=1)
    is_bad_T = ~((raw_T >= 0) & (raw_T <= 1))
    if is_bad_T.any():
        task = int(np.argmax(is_bad_T))
        raise BadSettingError(f"The p-value of task {task} is {raw_T[task]}; 0 to 1 was expected.", task=task)
    return raw_T, np.argsort(raw_T, kind="stable")


def _restore(ascending_T: NDArray[np.float64], order_T: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the values in the order of the tasks, none above 1."""
    adjusted_T = np.empty_like(ascending_T)
    adjusted_T[order_T] = np.minimum(1, ascending_T)
    return adjusted_T
