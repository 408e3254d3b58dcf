"""Intervals of figures that are functions of counts, by drawing whole clusters of items again.

Items that were made from one template stand or fall together. Drawing them one by one would take them for independent
and give intervals that are too narrow; so all items of a template are drawn at once. Shapes: C clusters, R draws, any
trailing shape of counts.

Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8 (resampling of clusters);
percentile interval of section 5.3.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from birdbone.evaluate.statistics import MIN_WINDOWS, interval

NUM_RESAMPLES = 2000
"""R."""

_SEED = 0
_LEAST_DEFINED = 0.9
_LEAST_SPREAD = 1e-12


def sum_clusters(counts_N: NDArray[np.float64], clusters: Sequence[Hashable]) -> NDArray[np.float64]:
    """Return the sums (C, ...) of the counts (N, ...) of each cluster, in the order of their first item."""
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    sums_C = np.zeros((len(places), *counts_N.shape[1:]))
    np.add.at(sums_C, [places[name] for name in clusters], counts_N)
    return sums_C


def draw_totals(
    counts_C: NDArray[np.float64], *, generator: np.random.Generator, num_resamples: int = NUM_RESAMPLES
) -> NDArray[np.float64]:
    """Return the totals (R, ...) of C clusters drawn with replacement."""
    num_clusters = len(counts_C)
    times_RC = generator.multinomial(num_clusters, np.full(num_clusters, 1 / num_clusters), size=num_resamples)
    return np.tensordot(times_RC.astype(np.float64), counts_C, axes=1)


def cluster_interval(
    counts_C: NDArray[np.float64], figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> tuple[float, float] | None:
    """Return the 95 % interval of `figure`, which takes totals (R, ...) and gives (R,), NaN where it is undefined.

    None where there are under `MIN_WINDOWS` clusters, where the figure is undefined in a tenth of the draws, or where
    all draws are equal: drawing again what never varied would claim a certainty that there is not. The same clusters
    give the same interval: the seed is fixed.
    """
    if len(counts_C) < MIN_WINDOWS:
        return None
    draws_R = figure(draw_totals(counts_C, generator=np.random.default_rng(_SEED)))
    known_R = draws_R[np.isfinite(draws_R)]
    if len(known_R) < _LEAST_DEFINED * len(draws_R) or np.ptp(known_R) <= _LEAST_SPREAD:
        return None
    return interval(known_R)
