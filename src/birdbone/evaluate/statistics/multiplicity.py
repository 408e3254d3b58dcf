"""P-values adjusted for having looked at many tasks. Shape: T tasks.

With twenty tasks and no change at all, one is expected to look changed at 5 %. Holm's method bounds the chance of one
false alarm among all tasks: use it where an alarm undoes work. Benjamini and Hochberg's bounds the expected share of
false ones among the alarms: use it to list tasks that are worth a look.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from birdbone.evaluate.errors import BadSettingError, TooFewItemsError


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return the adjusted p-values, (T,), in the order given; no task's is under its raw one or above 1.

    Raises:
        BadSettingError: not one row, or a value that is no probability (names the first).
        TooFewItemsError: there is no p-value.

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2), pages 65 to 70; statsmodels' `multipletests`.
    """
    return _adjust(p_values, "holm")


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return the adjusted p-values, (T,), in the order given; holds for independent or positively dependent tasks.

    Raises:
        BadSettingError: not one row, or a value that is no probability (names the first).
        TooFewItemsError: there is no p-value.

    Source: Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57(1), pages 289 to 300;
    statsmodels' `multipletests`.
    """
    return _adjust(p_values, "fdr_bh")


def _adjust(p_values: ArrayLike, method: Literal["holm", "fdr_bh"]) -> NDArray[np.float64]:
    raw_T = np.asarray(p_values, dtype=np.float64)
    if raw_T.ndim != 1:
        raise BadSettingError(f"The p-values have the shape {raw_T.shape}; one row of them was expected.")
    if not raw_T.size:
        raise TooFewItemsError("There are no p-values.", num_items=0, needed=1)
    is_bad_T = ~((raw_T >= 0) & (raw_T <= 1))
    if is_bad_T.any():
        task = int(np.argmax(is_bad_T))
        raise BadSettingError(f"The p-value of task {task} is {raw_T[task]}; 0 to 1 was expected.", task=task)
    adjusted_T: NDArray[np.float64] = multipletests(raw_T, method=method)[1]
    return adjusted_T
