"""Intervals by the studentised bootstrap. Shapes: N windows, P positions a window, R resamples.

Tokens of one window are not independent, so whole windows are resampled. The plain percentile bootstrap is too sure of
itself with a few dozen windows; dividing each resample's error by its own standard error mends that.
Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 12.5 (bootstrap-t). Symbols:
mean = theta-hat, t = Z*. Differs: the draws `mean - t * standard error` are kept, so that interval and probability come
from the same numbers; a resample's standard error is held above a twentieth of the sample's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from birdbone.core import Measurement
from birdbone.evaluate.errors import NonFiniteLogitsError, TooFewWindowsError, UnpairedError

MIN_WINDOWS = 8
"""Fewer windows give no interval."""

CONFIDENCE = 0.95
"""Level of every interval in this room."""

_MAX_COUNTS_IN_MEMORY = 4_000_000
_MIN_STANDARD_ERROR_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedRatio:
    """Perplexity of a candidate over that of a baseline, on the same windows."""

    value: float
    """exp of the mean difference of negative log-likelihoods: 1 is no change, 1.03 is 3 % worse."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    num_windows: int
    """N."""
    num_tokens: int
    """Predicted tokens in all windows."""
    draws_R: NDArray[np.float64] = field(repr=False, compare=False)
    """Draws of the ratio from its bootstrap distribution."""

    def probability_above(self, bound: float) -> float:
        """Return the share of the bootstrap draws in which the ratio exceeds `bound`."""
        return float(np.mean(self.draws_R > bound))

    def measurement(self, *, artefact: str, name: str = "perplexity_ratio") -> Measurement:
        """Return the ratio as a measurement on the candidate `artefact`."""
        return Measurement(
            name=name,
            value=self.value,
            unit="1",
            method=f"paired over {self.num_windows} windows, bootstrap-t with {len(self.draws_R)} resamples",
            artefact=artefact,
            sample_size=self.num_tokens,
            low=self.low,
            high=self.high,
        )


def paired_ratio(
    candidate_nll_NP: NDArray[np.float64],
    baseline_nll_NP: NDArray[np.float64],
    *,
    seed: int,
    num_resamples: int = 2000,
) -> PairedRatio:
    """Return the ratio of perplexities with its paired interval; swapping the two inverts all three figures.

    Args:
        candidate_nll_NP: negative log-likelihoods in nats, of the tokens of N windows.
        baseline_nll_NP: the same for the baseline, on the same windows in the same order.
        seed: of the resampling.
        num_resamples: R.

    Raises:
        UnpairedError: the shapes differ.
        TooFewWindowsError: N is under `MIN_WINDOWS`.
        NonFiniteLogitsError: a likelihood is NaN or infinite.
    """
    if candidate_nll_NP.shape != baseline_nll_NP.shape:
        message = f"The candidate has likelihoods {candidate_nll_NP.shape}, the baseline {baseline_nll_NP.shape}."
        raise UnpairedError(message)
    difference_N = window_means(candidate_nll_NP) - window_means(baseline_nll_NP)
    log_draws_R = bootstrap_means(difference_N, generator=np.random.default_rng(seed), num_resamples=num_resamples)
    low, high = interval(log_draws_R)  # before the exponent: only there do the ends of a swapped pair mirror exactly
    return PairedRatio(
        value=float(np.exp(difference_N.mean())),
        low=float(np.exp(low)),
        high=float(np.exp(high)),
        num_windows=len(difference_N),
        num_tokens=candidate_nll_NP.size,
        draws_R=np.exp(log_draws_R),
    )


def window_means(nll_NP: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean negative log-likelihood of each window, (N,).

    Raises:
        NonFiniteLogitsError: a value is NaN or infinite (names the first).
    """
    if not np.isfinite(nll_NP).all():
        window, position = map(int, np.argwhere(~np.isfinite(nll_NP))[0])
        message = f"The likelihood of token {position + 1} of window {window} is {nll_NP[window, position]}."
        raise NonFiniteLogitsError(message, window=window, position=position)
    means_N: NDArray[np.float64] = nll_NP.mean(axis=1, dtype=np.float64)
    return means_N


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


def interval(draws_R: NDArray[np.float64]) -> tuple[float, float]:
    """Return the two ends of the middle 95 % of the draws."""
    tail = (1 - CONFIDENCE) / 2
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
