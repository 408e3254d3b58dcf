"""How far groups are apart, with an interval by drawing items again. Shapes: N items, C clusters, G groups, R draws.

A difference between groups is never below 0 and grows by chance alone, the more so with many groups and few items. So
an interval that leaves 0 out is no proof of a difference; it says how steady the figure is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from birdbone.evaluate.errors import UnpairedError
from birdbone.evaluate.fairness.groups import (
    Against,
    Counts,
    RateName,
    count_groups,
    rate_difference,
    rate_ratio,
    rates_of,
)
from birdbone.evaluate.fairness.resampling import cluster_interval, sum_clusters
from birdbone.evaluate.statistics.items import read_correct

GapKind = Literal["difference", "ratio"]
"""How two rates are held against each other."""

PARITY: tuple[RateName, ...] = ("selection_rate",)
"""Rates of demographic parity."""
ODDS: tuple[RateName, ...] = ("true_positive_rate", "false_positive_rate")
"""Rates of equalized odds; the worse one counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How far groups are apart."""

    value: float
    ends: tuple[float, float] | None
    """The 95 % interval; None where there are too few clusters, or where no draw differs."""


def estimate_gap(
    counts_CG4: Counts, rates: Sequence[RateName], *, kind: GapKind, against: Against = "between_groups"
) -> Gap | None:
    """Return the worst gap of some rates, from the counts of each cluster; None where it is 0 / 0.

    Args:
        counts_CG4: counts of each cluster and group, in the order of `groups.ITEMS` and so on.
        rates: one or more; of a difference the largest, of a ratio the smallest is told.
        kind: difference or ratio.
        against: the other groups, or all items together.
    """
    figure = _figure(rates, kind, against)
    value = float(figure(counts_CG4.sum(axis=0)))
    return None if np.isnan(value) else Gap(value=value, ends=cluster_interval(counts_CG4, figure))


def group_gaps(
    predicted: ArrayLike,
    groups: Sequence[str],
    *,
    truth: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    against: Against = "between_groups",
) -> dict[str, Gap]:
    """Return demographic parity and, with `truth`, equalized odds, each as difference and ratio; 0 / 0 is left out.

    Args:
        predicted: 0 or 1 for each item: whether it was selected.
        groups: the group of each item.
        truth: 0 or 1 for each item.
        clusters: which items were made together and are drawn together; each by itself unless given.
        against: the other groups, or all items together.

    Raises:
        UnpairedError, BadScoresError, TooFewItemsError: as `count_groups` does.
    """
    names, _ = count_groups(predicted, groups, truth=truth)
    named = range(len(groups)) if clusters is None else clusters
    if len(named) != len(groups):
        raise UnpairedError(f"{len(groups)} items and {len(named)} clusters came.")
    counts_CG4 = sum_clusters(_item_counts(predicted, groups, truth, names), list(named))
    kinds: tuple[GapKind, ...] = ("difference", "ratio")
    measures = [("demographic_parity", PARITY), *([("equalized_odds", ODDS)] if truth is not None else [])]
    found = {
        f"{measure}_{kind}": estimate_gap(counts_CG4, rates, kind=kind, against=against)
        for measure, rates in measures
        for kind in kinds
    }
    return {name: gap for name, gap in found.items() if gap is not None}


def _figure(rates: Sequence[RateName], kind: GapKind, against: Against) -> Callable[[Counts], NDArray[np.float64]]:
    def figure(totals_RG4: Counts) -> NDArray[np.float64]:
        of_rates = [rates_of(totals_RG4, rate) for rate in rates]
        if kind == "difference":
            return np.asarray(np.max([rate_difference(*one, against=against) for one in of_rates], axis=0))
        return np.asarray(np.min([rate_ratio(*one, against=against) for one in of_rates], axis=0))

    return figure


def _item_counts(
    predicted: ArrayLike, groups: Sequence[str], truth: ArrayLike | None, names: Sequence[str]
) -> NDArray[np.float64]:
    """Return the counts (N, G, 4) of each item: all 0 but those of its own group."""
    predicted_N = read_correct(predicted)
    truth_N = np.zeros_like(predicted_N) if truth is None else read_correct(truth)
    is_of_NG = np.array(groups)[:, None] == np.array(names)
    kinds_N4 = np.stack([np.ones_like(predicted_N), predicted_N, truth_N, predicted_N & truth_N], axis=-1)
    return np.asarray(is_of_NG[..., None] * kinds_N4[:, None, :], dtype=np.float64)
