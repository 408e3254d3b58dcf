"""Gaps between groups with their intervals: the values are those of the measures, the draws keep clusters whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.errors import UnpairedError
from birdbone.evaluate.fairness import (
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    equalized_odds_ratio,
    group_gaps,
)

MEASURES = {"equalized_odds_difference": equalized_odds_difference, "equalized_odds_ratio": equalized_odds_ratio}
PARITIES = {
    "demographic_parity_difference": demographic_parity_difference,
    "demographic_parity_ratio": demographic_parity_ratio,
}
SELECTED = st.lists(st.integers(0, 1), min_size=8, max_size=8)


@settings(max_examples=8)
@given(SELECTED, SELECTED, st.sampled_from(["between_groups", "to_overall"]))
def test_values_are_those_of_the_measures(one: list[int], other: list[int], against: Any) -> None:
    groups, truth = ["a"] * 8 + ["b"] * 8, [0, 1] * 8
    found = group_gaps(one + other, groups, truth=truth, against=against)
    for name, measure in PARITIES.items():
        value = measure(one + other, groups, against=against)
        assert found[name].value == pytest.approx(value) if value is not None else name not in found
    for name, measure in MEASURES.items():
        value = measure(truth, one + other, groups, against=against)
        assert found[name].value == pytest.approx(value) if value is not None else name not in found


def test_an_interval_holds_a_difference_that_is_plain() -> None:
    groups, predicted = ["a", "b"] * 100, [1, 0] * 90 + [0, 1] * 10
    gap = group_gaps(predicted, groups)["demographic_parity_difference"]
    assert gap.value == pytest.approx(0.8)
    assert gap.ends is not None
    assert 0.65 < gap.ends[0] < 0.8 < gap.ends[1] < 0.95


def test_items_made_together_are_drawn_together() -> None:
    groups, predicted = ["a", "b"] * 20, [1, 0] * 16 + [0, 1] * 4
    few = [place // 4 for place in range(40)]
    assert group_gaps(predicted, groups, clusters=few)["demographic_parity_difference"].ends is not None
    alike = group_gaps(predicted, groups, clusters=["one"] * 40)["demographic_parity_difference"]
    assert alike.ends is None
    assert alike.value == pytest.approx(0.6)
    with pytest.raises(UnpairedError, match="40 items and 2 clusters"):
        group_gaps(predicted, groups, clusters=["one", "two"])
