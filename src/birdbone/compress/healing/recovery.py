"""How much of what pruning cost healing won back. Shapes: N windows, P positions a window, R resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdbone.evaluate.errors import UnpairedError
from birdbone.evaluate.statistics import MIN_WINDOWS, interval, window_means


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Share of the lost log-perplexity that is won back: 0 is nothing, 1 is all; below 0 it hurt.

    Attributes:
        low, high: ends of the 95 % interval over windows; None under `MIN_WINDOWS` windows.
        lost: what pruning cost, in nats a token.
    """

    value: float
    low: float | None
    high: float | None
    lost: float
    num_windows: int


def share_won_back(
    dense_NP: NDArray[np.float64],
    before_NP: NDArray[np.float64],
    after_NP: NDArray[np.float64],
    *,
    seed: int,
    num_resamples: int = 2000,
) -> Recovery | None:
    """Return the share, or None where pruning cost nothing that these windows can show.

    Args:
        dense_NP, before_NP, after_NP: negative log-likelihoods in nats of the same windows, under the dense model, the
            pruned one and the healed one.
        seed: of the resampling of whole windows, which all three share.

    Raises:
        UnpairedError: the shapes differ.
        NonFiniteLogitsError: a likelihood is NaN or infinite.
    """
    if not dense_NP.shape == before_NP.shape == after_NP.shape:
        raise UnpairedError(f"Likelihoods of {dense_NP.shape}, {before_NP.shape} and {after_NP.shape} are no pairs.")
    dense_N, before_N, after_N = (window_means(each) for each in (dense_NP, before_NP, after_NP))
    lost_N, won_N = before_N - dense_N, before_N - after_N
    if lost_N.mean() <= 0:
        return None
    low = high = None
    if len(lost_N) >= MIN_WINDOWS:
        draws_RN = np.random.default_rng(seed).integers(len(lost_N), size=(num_resamples, len(lost_N)))
        lost_R, won_R = lost_N[draws_RN].mean(axis=1), won_N[draws_RN].mean(axis=1)
        if float(np.quantile(lost_R, 0.025)) <= 0:
            return None
        low, high = interval(won_R / lost_R)
    return Recovery(
        value=float(won_N.mean() / lost_N.mean()),
        low=low,
        high=high,
        lost=float(lost_N.mean()),
        num_windows=len(lost_N),
    )
