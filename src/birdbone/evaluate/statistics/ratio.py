"""The ratio of two models' perplexities on the same windows. Shapes: N windows, P positions a window, R resamples.

Tokens of one window are not independent, so whole windows are resampled.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from birdbone.core import Measurement
from birdbone.evaluate.errors import NonFiniteLogitsError, UnpairedError
from birdbone.evaluate.statistics.bootstrap import bootstrap_means, interval


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
