"""What statistics are taken of: one value an item, the same items for both models. Shape: N items."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from birdbone.evaluate.errors import BadScoresError, BadSettingError, TooFewItemsError, UnpairedError


def read_scores(values: ArrayLike, *, low: float = -np.inf, high: float = np.inf) -> NDArray[np.float64]:
    """Return the values as (N,) float64.

    Raises:
        BadScoresError: not one row, or a value that is not finite or not within `low` and `high` (names the first).
        TooFewItemsError: there is no item.
    """
    scores_N = np.asarray(values, dtype=np.float64)
    if scores_N.ndim != 1:
        raise BadScoresError(f"The scores have the shape {scores_N.shape}; one row of them was expected.")
    if not scores_N.size:
        raise TooFewItemsError("There are no items.", num_items=0, needed=1)
    is_bad_N = ~(np.isfinite(scores_N) & (scores_N >= low) & (scores_N <= high))
    if is_bad_N.any():
        item = int(np.argmax(is_bad_N))
        message = f"The score of item {item} is {scores_N[item]}; a finite one from {low:g} to {high:g} was expected."
        raise BadScoresError(message, item=item)
    return scores_N


def read_correct(values: ArrayLike) -> NDArray[np.bool_]:
    """Return for each item whether the answer was right, (N,).

    Args:
        values: 0 or 1, or False or True.

    Raises:
        BadScoresError: not one row, or a value that is neither 0 nor 1 (names the first).
        TooFewItemsError: there is no item.
    """
    scores_N = read_scores(values, low=0, high=1)
    is_between_N = (scores_N > 0) & (scores_N < 1)
    if is_between_N.any():
        item = int(np.argmax(is_between_N))
        raise BadScoresError(f"The score of item {item} is {scores_N[item]}; 0 or 1 was expected.", item=item)
    is_right_N: NDArray[np.bool_] = scores_N == 1
    return is_right_N


def require_paired(candidate_N: NDArray[np.generic], baseline_N: NDArray[np.generic]) -> None:
    """Refuse two rows that cannot be of the same items.

    Raises:
        UnpairedError: their lengths differ.
    """
    if len(candidate_N) != len(baseline_N):
        raise UnpairedError(f"The candidate has {len(candidate_N)} items, the baseline {len(baseline_N)}.")


def require_share(name: str, share: float) -> None:
    """Refuse a share that is not strictly between 0 and 1.

    Raises:
        BadSettingError: names the setting.
    """
    if not 0 < share < 1:
        raise BadSettingError(f"`{name}` is {share}; a value between 0 and 1 was expected.")
