"""Draws of a mean by the studentised bootstrap. Shapes: N values, R resamples.

The plain percentile bootstrap is too sure of itself with a few dozen values; dividing each resample's error by its own
standard error mends that.
Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 12.5 (bootstrap-t). Symbols:
mean = theta-hat, t = Z*. Differs: the draws `mean - t * standard error` are kept, so that interval and probability come
from the same numbers; a resample's standard error is held above a twentieth of the sample's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from birdbone.evaluate.errors import TooFewWindowsError

MIN_WINDOWS = 8
"""Fewer windows give no interval."""

CONFIDENCE = 0.95
"""Level of every interval in this room, unless it says otherwise."""

_MAX_COUNTS_IN_MEMORY = 4_000_000
_MIN_STANDARD_ERROR_SHARE = 0.05


def bootstrap_means(
    values_N: NDArray[np.float64], *, generator: np.random.Generator, num_resamples: int
) -> NDArray[np.float64]:
    """Return R draws of the mean of `values_N` from its studentised bootstrap distribution.

    Equal values give equal draws (no spread). Memory stays bounded for any N and R.

    Raises:
        TooFewWindowsError: N is under `MIN_WINDOWS`.
    """
    num_values = len(values_N)
    if num_values < MIN_WINDOWS:
        message = f"{num_values} windows are too few for an interval; at least {MIN_WINDOWS} are needed."
        raise TooFewWindowsError(message, num_windows=num_values, needed=MIN_WINDOWS)
    mean = values_N.mean()
    error = values_N.std() / np.sqrt(num_values)
    if error <= 1e-12 * abs(mean):
        return np.full(num_resamples, mean)
    means_R, errors_R = _resample((values_N - mean), generator, num_resamples)
    t_R = means_R / np.maximum(errors_R, _MIN_STANDARD_ERROR_SHARE * error)
    draws_R: NDArray[np.float64] = mean - t_R * error
    return draws_R


def interval(draws_R: NDArray[np.float64], *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the two ends of the middle share `confidence` of the draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws_R, [tail, 1 - tail])
    return float(low), float(high)


def _resample(
    centred_N: NDArray[np.float64], generator: np.random.Generator, num_resamples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard error of R resamples with replacement, as counts times values."""
    num_values = len(centred_N)
    rows = max(1, _MAX_COUNTS_IN_MEMORY // num_values)
    means, errors = [], []
    for begin in range(0, num_resamples, rows):
        size = min(rows, num_resamples - begin)
        counts_RN = generator.multinomial(num_values, np.full(num_values, 1 / num_values), size=size)
        mean_R = counts_RN @ centred_N / num_values
        variance_R = np.maximum(counts_RN @ centred_N**2 / num_values - mean_R**2, 0)
        means.append(mean_R)
        errors.append(np.sqrt(variance_R / num_values))
    return np.concatenate(means), np.concatenate(errors)
