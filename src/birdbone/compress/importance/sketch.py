"""A small summary of very many scores that can be merged and asked for quantiles, shares and thresholds.

Theory of operation. The bits of a float that is not negative, read as a whole number, rise with the float. So all but
the last `_DROPPED_BITS` of them number a bin, and all floats of one bin lie within a factor of 1 + 2**-8 of each other,
be they 1e-12 or 1e12. Kept are the count and the sum of each bin that is not empty: some thousand bins for a million
scores. Sketches of two linears add up to the sketch of both, exactly; a block's, a role's and the model's are made so.
Every count and every sum below a *bin edge* is exact, and all thresholds that are given out are bin edges.
Source: the idea of Masson et al. 2019 (DDSketch), arXiv:1908.10693, sec. 2, with the float's own bits for logarithms.
K bins that are not empty, in rising order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdbone.compress.errors import NegativeScoreError, NonFiniteScoreError

_DROPPED_BITS = 15
RELATIVE_ERROR = 2.0 ** (_DROPPED_BITS - 23)
"""A quantile is off by at most this share of itself (scores below 1e-38, which have fewer bits, by more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSketch:
    """Counts and sums of scores by bin."""

    bins_K: NDArray[np.int64]
    counts_K: NDArray[np.int64]
    sums_K: NDArray[np.float64]
    sum_of_squares: float
    low: float
    high: float

    @property
    def num_scores(self) -> int:
        """How many scores went in."""
        return int(self.counts_K.sum())

    @property
    def total(self) -> float:
        """Sum of all scores."""
        return float(self.sums_K.sum())

    @property
    def mean(self) -> float:
        """Mean of all scores."""
        return self.total / self.num_scores

    @property
    def deviation(self) -> float:
        """Standard deviation of all scores, of the population."""
        return float(np.sqrt(max(0.0, self.sum_of_squares / self.num_scores - self.mean**2)))

    def quantile(self, share: float) -> float:
        """Return the score below or at which `share` of all lie, within `RELATIVE_ERROR`."""
        rank = min(max(int(np.ceil(share * self.num_scores)), 1), self.num_scores)
        place = int(np.searchsorted(self.counts_K.cumsum(), rank))
        mean_of_bin = self.sums_K[place] / self.counts_K[place]
        return float(np.clip(mean_of_bin, self.low, self.high))

    def share_below(self, edge: float) -> float:
        """Return the share of scores below a bin edge (see `bin_edge`): the sparsity of a mask with that threshold."""
        return float(self.counts_K[: self._num_bins_below(edge)].sum()) / self.num_scores

    def importance_below(self, edge: float) -> float:
        """Return the share of the sum of all scores that lies below a bin edge; 0 where all scores are 0."""
        below = float(self.sums_K[: self._num_bins_below(edge)].sum())
        return below / self.total if self.total > 0 else 0.0

    def share_of_top(self, share: float) -> float:
        """Return the share of the sum of all scores that the largest `share` of them holds; that share if all are 0.

        Scores of the one bin that is cut count as their mean.
        """
        if self.total <= 0:
            return share
        wanted = share * self.num_scores
        counts_K, sums_K = self.counts_K[::-1], self.sums_K[::-1]
        taken_K = np.clip(wanted - (counts_K.cumsum() - counts_K), 0, counts_K)
        return float(min(1.0, (taken_K / counts_K * sums_K).sum() / self.total))

    def histogram(self, edges: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return how many scores lie between neighbours of `edges`; the first and last count in what lies beyond.

        A bin that an edge cuts is counted where its lower end lies.
        """
        places_K = np.clip(np.searchsorted(edges, _lower_edges(self.bins_K), side="right") - 1, 0, len(edges) - 2)
        return np.bincount(places_K, weights=self.counts_K, minlength=len(edges) - 1).astype(np.int64)

    def edge_of_share(self, share: float) -> float:
        """Return the largest bin edge below which at most `share` of the scores lie."""
        return self._edge_where(self.counts_K.cumsum() <= share * self.num_scores)

    def edge_of_importance(self, share: float) -> float:
        """Return the largest bin edge below which at most `share` of the sum of all scores lies."""
        return self._edge_where(self.sums_K.cumsum() <= share * self.total)

    def _edge_where(self, is_dropped_K: NDArray[np.bool_]) -> float:
        num_dropped = int(is_dropped_K.sum())  # a prefix: cumulated counts and sums never fall
        if num_dropped == len(self.bins_K):
            return float(_lower_edges(self.bins_K[-1:] + 1)[0])
        return float(_lower_edges(self.bins_K[num_dropped : num_dropped + 1])[0])

    def _num_bins_below(self, edge: float) -> int:
        return int(np.searchsorted(_lower_edges(self.bins_K), edge, side="left"))


def sketch_scores(scores: Tensor) -> ScoreSketch:
    """Return the sketch of a tensor of any shape, read as float32.

    Raises:
        NonFiniteScoreError: a score is NaN or infinite.
        NegativeScoreError: a score is below zero.
    """
    flat = scores.detach().float().flatten() + 0.0  # a negative zero has the bits of a negative number
    low, high = (float(end) for end in torch.aminmax(flat))
    if not np.isfinite(low) or not np.isfinite(high):
        raise NonFiniteScoreError("A score is NaN or infinite.")
    if low < 0:
        raise NegativeScoreError(f"A score is {low:.3g}, below zero.")
    bins = (flat.view(torch.int32) >> _DROPPED_BITS).long()
    counts, values = torch.bincount(bins), flat.double()
    sums = torch.bincount(bins, weights=values)
    bins_K = counts.nonzero().flatten()
    return ScoreSketch(
        bins_K=bins_K.numpy(),
        counts_K=counts[bins_K].numpy(),
        sums_K=sums[bins_K].numpy(),
        sum_of_squares=float(values.square().sum()),
        low=low,
        high=high,
    )


def merge_sketches(sketches: Sequence[ScoreSketch]) -> ScoreSketch:
    """Return the sketch of all scores of at least one sketch together."""
    bins_K, places = np.unique(np.concatenate([sketch.bins_K for sketch in sketches]), return_inverse=True)
    counts = np.concatenate([sketch.counts_K for sketch in sketches])
    sums = np.concatenate([sketch.sums_K for sketch in sketches])
    return ScoreSketch(
        bins_K=bins_K,
        counts_K=np.bincount(places, weights=counts, minlength=len(bins_K)).astype(np.int64),
        sums_K=np.bincount(places, weights=sums, minlength=len(bins_K)).astype(np.float64),
        sum_of_squares=sum(sketch.sum_of_squares for sketch in sketches),
        low=min(sketch.low for sketch in sketches),
        high=max(sketch.high for sketch in sketches),
    )


def bin_edge(score: float) -> float:
    """Return the largest bin edge that is not above `score`; 0 for what is not above 0."""
    bits = np.array([max(0.0, score)], dtype=np.float32).view(np.int32).astype(np.int64)
    return float(_lower_edges(bits >> _DROPPED_BITS)[0])


def histogram_edges(sketch: ScoreSketch, *, num_bins: int) -> NDArray[np.float64]:
    """Return `num_bins` + 1 edges, evenly apart in their logarithm, from the smallest score above 0 to the largest."""
    positive = _lower_edges(sketch.bins_K[sketch.bins_K > 0])
    low, high = (float(positive[0]), max(sketch.high, float(positive[0]))) if len(positive) else (1.0, 1.0)
    return np.geomspace(low, max(high, low * (1 + RELATIVE_ERROR)), num_bins + 1)


def _lower_edges(bins_K: NDArray[np.int64]) -> NDArray[np.float64]:
    return (bins_K << _DROPPED_BITS).astype(np.int32).view(np.float32).astype(np.float64)
