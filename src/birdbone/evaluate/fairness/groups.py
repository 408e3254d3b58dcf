"""Measures over groups of people, as pure functions of counts. Shapes: N items, G groups, R draws, K kinds of counts.

A rate is a share of a group's items. Two things can be said of G rates: how far apart they are (the difference), and
how many times the lowest goes into the highest (the ratio, at most 1). Both are taken between the groups, or from each
group to all items together.

Source: Hardt, Price and Srebro 2016, arXiv:1610.02413, definitions 2.1 and 2.2 (equalized odds and opportunity);
demographic parity and the names of the measures are those of Fairlearn (Weerts et al. 2023, arXiv:2303.16626), whose
figures these are to 1e-12. Differs: where Fairlearn gives NaN (0 / 0) a ratio is None, and where it counts a rate of
no items as 0 there is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from birdbone.evaluate.errors import TooFewItemsError, UnpairedError
from birdbone.evaluate.statistics.items import read_correct

Against = Literal["between_groups", "to_overall"]
"""What a group's rate is held against: the other groups', or that of all items."""
RateName = Literal["selection_rate", "true_positive_rate", "false_positive_rate"]
"""Selected of all, of those that are truly positive, of those that are not."""

NUM_COUNTS = 4
ITEMS, SELECTED, POSITIVES, TRUE_POSITIVES = range(NUM_COUNTS)
"""Places in the last axis of counts."""

Counts = NDArray[np.float64]
"""(..., G, 4); leading axes are draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRates:
    """One rate of each group."""

    by_group: Mapping[str, float]
    """Sorted by name."""
    overall: float
    """Of all items."""

    def difference(self, against: Against = "between_groups") -> float:
        """Return the largest difference, 0 or more."""
        return float(rate_difference(*self._arrays(), against=against))

    def ratio(self, against: Against = "between_groups") -> float | None:
        """Return the smallest ratio, 0 to 1; None where it would be 0 / 0."""
        found = float(rate_ratio(*self._arrays(), against=against))
        return None if np.isnan(found) else found

    def _arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(list(self.by_group.values())), np.array(self.overall)


def count_groups(
    predicted: ArrayLike, groups: Sequence[str], *, truth: ArrayLike | None = None
) -> tuple[tuple[str, ...], Counts]:
    """Return the names of the groups, sorted, and their counts (G, 4).

    Args:
        predicted: 0 or 1 for each item: whether it was selected.
        groups: the group of each item.
        truth: 0 or 1 for each item; without it the counts of positives are 0.

    Raises:
        BadScoresError: a value is neither 0 nor 1.
        TooFewItemsError: there is no item.
        UnpairedError: the lengths differ.
    """
    predicted_N = read_correct(predicted)
    truth_N = np.zeros_like(predicted_N) if truth is None else read_correct(truth)
    if not len(predicted_N) == len(truth_N) == len(groups):
        raise UnpairedError(f"{len(predicted_N)} answers, {len(truth_N)} truths and {len(groups)} groups came.")
    names = tuple(sorted(set(groups)))
    place_N = np.array([names.index(group) for group in groups])
    kinds = (np.ones_like(predicted_N), predicted_N, truth_N, predicted_N & truth_N)
    return names, np.stack([np.bincount(place_N, kind_N, minlength=len(names)) for kind_N in kinds], axis=-1)


def rates_of(counts: Counts, rate: RateName) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a rate of each group (..., G) and of all items (...); NaN where a group has no item to be counted."""
    return _rate(counts, rate), _rate(counts.sum(axis=-2), rate)


def rate_difference(
    rates_G: NDArray[np.float64], overall: NDArray[np.float64], *, against: Against
) -> NDArray[np.float64]:
    """Return the largest difference of rates (..., G) between groups, or from `overall` (...)."""
    if against == "between_groups":
        return np.asarray(rates_G.max(axis=-1) - rates_G.min(axis=-1))
    return np.asarray(np.abs(rates_G - overall[..., None]).max(axis=-1))


def rate_ratio(rates_G: NDArray[np.float64], overall: NDArray[np.float64], *, against: Against) -> NDArray[np.float64]:
    """Return the smallest ratio of rates (..., G) between groups, or to `overall` (...); NaN where it is 0 / 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if against == "between_groups":
            return np.asarray(rates_G.min(axis=-1) / rates_G.max(axis=-1))
        ratios_G = rates_G / overall[..., None]
        return np.asarray(np.where(ratios_G > 1, 1 / ratios_G, ratios_G).min(axis=-1))


def selection_rates(predicted: ArrayLike, groups: Sequence[str]) -> GroupRates:
    """Return the share of each group that was selected. Raises what `count_groups` does."""
    return _group_rates(*count_groups(predicted, groups), rate="selection_rate")


def true_positive_rates(truth: ArrayLike, predicted: ArrayLike, groups: Sequence[str]) -> GroupRates:
    """Return the share selected of each group's truly positive items.

    Raises:
        TooFewItemsError: a group has none (names it).
        and what `count_groups` does.
    """
    return _group_rates(*count_groups(predicted, groups, truth=truth), rate="true_positive_rate")


def false_positive_rates(truth: ArrayLike, predicted: ArrayLike, groups: Sequence[str]) -> GroupRates:
    """Return the share selected of each group's items that are not positive. Raises what `true_positive_rates` does."""
    return _group_rates(*count_groups(predicted, groups, truth=truth), rate="false_positive_rate")


def demographic_parity_difference(
    predicted: ArrayLike, groups: Sequence[str], *, against: Against = "between_groups"
) -> float:
    """Return how far selection rates are apart: 0 where every group is selected as often."""
    return selection_rates(predicted, groups).difference(against)


def demographic_parity_ratio(
    predicted: ArrayLike, groups: Sequence[str], *, against: Against = "between_groups"
) -> float | None:
    """Return the ratio of selection rates: 1 where every group is selected as often; None where nobody is."""
    return selection_rates(predicted, groups).ratio(against)


def equalized_odds_difference(
    truth: ArrayLike, predicted: ArrayLike, groups: Sequence[str], *, against: Against = "between_groups"
) -> float:
    """Return the larger of the differences of true and of false positive rates: 0 where errors fall evenly."""
    return max(
        rates(truth, predicted, groups).difference(against) for rates in (true_positive_rates, false_positive_rates)
    )


def equalized_odds_ratio(
    truth: ArrayLike, predicted: ArrayLike, groups: Sequence[str], *, against: Against = "between_groups"
) -> float | None:
    """Return the smaller of the ratios of true and of false positive rates; None where one of them is 0 / 0."""
    ratios = [rates(truth, predicted, groups).ratio(against) for rates in (true_positive_rates, false_positive_rates)]
    known = [ratio for ratio in ratios if ratio is not None]
    return min(known) if len(known) == len(ratios) else None


def _rate(counts: Counts, rate: RateName) -> NDArray[np.float64]:
    items, selected = counts[..., ITEMS], counts[..., SELECTED]
    positives, true_positives = counts[..., POSITIVES], counts[..., TRUE_POSITIVES]
    of, among = {
        "selection_rate": (selected, items),
        "true_positive_rate": (true_positives, positives),
        "false_positive_rate": (selected - true_positives, items - positives),
    }[rate]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(of / among)


def _group_rates(names: Sequence[str], counts_GK: Counts, *, rate: RateName) -> GroupRates:
    rates_G, overall = rates_of(counts_GK, rate)
    if np.isnan(rates_G).any():
        group = names[int(np.flatnonzero(np.isnan(rates_G))[0])]
        message = f"The group {group} has no item that a {rate.replace('_', ' ')} is counted over."
        raise TooFewItemsError(message, group=group, num_items=0, needed=1)
    return GroupRates(by_group=dict(zip(names, map(float, rates_G), strict=True)), overall=float(overall))
