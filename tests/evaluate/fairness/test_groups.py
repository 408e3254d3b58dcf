"""Measures over groups: Fairlearn's own figures, and laws that hold for any answers."""

from __future__ import annotations

from typing import Any

import fairlearn.metrics as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.errors import BadScoresError, TooFewItemsError, UnpairedError
from birdbone.evaluate.fairness import (
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    equalized_odds_ratio,
    false_positive_rates,
    selection_rates,
    true_positive_rates,
)

AGAINST = ("between_groups", "to_overall")
EVERY_KIND = [(group, truth) for group in "abc" for truth in (0, 1)]
ITEMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1), st.integers(0, 1)), max_size=40)


def columns(items: list[tuple[str, int, int]], selected: list[int]) -> tuple[list[str], list[int], list[int]]:
    """Return groups, truth and predictions, with at least one item of every group and truth."""
    whole = [(group, truth, is_selected) for (group, truth), is_selected in zip(EVERY_KIND, selected, strict=True)]
    groups, truth, predicted = zip(*(whole + items), strict=True)
    return list(groups), list(truth), list(predicted)


def is_same(ours: float | None, theirs: float) -> bool:
    return np.isnan(theirs) if ours is None else abs(ours - theirs) <= 1e-12


SELECTED = st.lists(st.integers(0, 1), min_size=6, max_size=6)


@settings(max_examples=8)
@given(ITEMS, SELECTED)
def test_every_rate_is_fairlearns_with_its_difference_and_ratio(
    items: list[tuple[str, int, int]], selected: list[int]
) -> None:
    groups, truth, predicted = columns(items, selected)
    metrics = {"tpr": oracle.true_positive_rate, "fpr": oracle.false_positive_rate, "sel": oracle.selection_rate}
    frame = oracle.MetricFrame(metrics=metrics, y_true=truth, y_pred=predicted, sensitive_features=groups)
    ours = {
        "tpr": true_positive_rates(truth, predicted, groups),
        "fpr": false_positive_rates(truth, predicted, groups),
        "sel": selection_rates(predicted, groups),
    }
    for name, rates in ours.items():
        assert is_same(rates.overall, frame.overall[name])
        assert all(is_same(rate, frame.by_group[name][group]) for group, rate in rates.by_group.items())
    for against in AGAINST:
        differences, ratios = frame.difference(method=against), frame.ratio(method=against)
        for name, rates in ours.items():
            assert is_same(rates.difference(against), differences[name])
            assert is_same(rates.ratio(against), ratios[name])


@pytest.mark.parametrize("against", AGAINST)
def test_every_named_measure_is_fairlearns(against: Any) -> None:
    draw = np.random.default_rng(7)
    groups = draw.choice(list("abcd"), size=300).tolist()
    truth, predicted = draw.integers(0, 2, size=(2, 300)).tolist()
    of: dict[str, Any] = {"sensitive_features": groups, "method": against}
    assert is_same(
        demographic_parity_difference(predicted, groups, against=against),
        oracle.demographic_parity_difference(truth, predicted, **of),
    )
    assert is_same(
        demographic_parity_ratio(predicted, groups, against=against),
        oracle.demographic_parity_ratio(truth, predicted, **of),
    )
    assert is_same(
        equalized_odds_difference(truth, predicted, groups, against=against),
        oracle.equalized_odds_difference(truth, predicted, **of),
    )
    assert is_same(
        equalized_odds_ratio(truth, predicted, groups, against=against),
        oracle.equalized_odds_ratio(truth, predicted, **of),
    )


@settings(max_examples=20)
@given(ITEMS, SELECTED, st.randoms())
def test_order_and_names_of_groups_change_nothing(items: Any, selected: Any, draw: Any) -> None:
    groups, truth, predicted = columns(items, selected)
    places = list(range(len(groups)))
    draw.shuffle(places)
    renamed = [{"a": "z", "b": "y", "c": "x"}[groups[place]] for place in places]
    mixed = [truth[place] for place in places], [predicted[place] for place in places], renamed
    for measure in (equalized_odds_difference, equalized_odds_ratio):
        assert measure(*mixed) == pytest.approx(measure(truth, predicted, groups))


@settings(max_examples=20)
@given(ITEMS, SELECTED)
def test_a_difference_and_a_ratio_stay_in_their_bounds(items: Any, selected: Any) -> None:
    groups, _, predicted = columns(items, selected)
    rates = selection_rates(predicted, groups)
    for against in AGAINST:
        assert 0 <= rates.difference(against) <= 1
        ratio = rates.ratio(against)
        assert ratio is None or 0 <= ratio <= 1
    assert rates.difference("to_overall") <= rates.difference("between_groups")
    turned = selection_rates([1 - one for one in predicted], groups)
    assert turned.difference() == pytest.approx(rates.difference())


def test_two_groups_worked_by_hand() -> None:
    groups = ["a"] * 4 + ["b"] * 4
    truth = [1, 1, 0, 0, 1, 1, 0, 0]
    predicted = [1, 1, 1, 0, 1, 0, 0, 0]
    assert selection_rates(predicted, groups).by_group == {"a": 0.75, "b": 0.25}
    assert selection_rates(predicted, groups).overall == 0.5
    assert demographic_parity_difference(predicted, groups) == 0.5
    assert demographic_parity_difference(predicted, groups, against="to_overall") == 0.25
    assert demographic_parity_ratio(predicted, groups) == pytest.approx(1 / 3)
    assert demographic_parity_ratio(predicted, groups, against="to_overall") == 0.5
    assert true_positive_rates(truth, predicted, groups).by_group == {"a": 1.0, "b": 0.5}
    assert false_positive_rates(truth, predicted, groups).by_group == {"a": 0.5, "b": 0.0}
    assert equalized_odds_difference(truth, predicted, groups) == 0.5
    assert equalized_odds_ratio(truth, predicted, groups) == 0.0


def test_a_ratio_of_nothing_to_nothing_is_none() -> None:
    assert demographic_parity_ratio([0, 0], ["a", "b"]) is None
    assert demographic_parity_difference([0, 0], ["a", "b"]) == 0


def test_a_group_without_items_for_a_rate_is_named() -> None:
    with pytest.raises(TooFewItemsError, match="The group b has no item"):
        true_positive_rates([1, 0], [1, 1], ["a", "b"])


@pytest.mark.parametrize(
    ("predicted", "groups", "error"),
    [([0, 2], ["a", "b"], BadScoresError), ([], [], TooFewItemsError), ([1], ["a", "b"], UnpairedError)],
)
def test_answers_that_are_none_are_refused(predicted: list[int], groups: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        selection_rates(predicted, groups)
