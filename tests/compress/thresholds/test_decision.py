"""Shares come to the target, keep to their bounds, and fall as load rises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.compress.matrices import law

from birdbone.compress.config import HealthWeights, ThresholdConfig
from birdbone.compress.errors import TargetOutOfReachError, UnknownClusterError
from birdbone.compress.thresholds import ClusterHealth, decide_fractions, fill_to_target

figure = st.floats(-5, 5)
healths = st.lists(st.tuples(figure, figure, st.floats(0, 1), st.integers(1, 1000)), min_size=1, max_size=8)


def health(importance: float, variance: float, density: float, num_weights: float, **more: object) -> ClusterHealth:
    known = {"name": "n0", "layer": 0, "num_units": 1, "shed_so_far": 0.0, "damage": None, **more}
    return ClusterHealth(importance=importance, variance=variance, density=density, num_weights=num_weights, **known)  # type: ignore[arg-type]


def clusters(drawn: list[tuple[float, float, float, int]], layer: int = 0) -> list[ClusterHealth]:
    return [health(*signs, name=f"L{layer}.n{number}", layer=layer) for number, signs in enumerate(drawn)]


@law
@given(drawn=healths, target=st.floats(0.05, 0.9), spread=st.floats(0, 1))
def test_weighed_by_weights_the_shares_come_to_the_target_within_their_bounds(
    drawn: list[tuple[float, float, float, int]], target: float, spread: float
) -> None:
    group = clusters(drawn)
    config = ThresholdConfig(spread=spread, low=0.02, high=0.93)
    decisions = decide_fractions(group, config, target=target)
    weights = np.array([cluster.num_weights for cluster in group])
    shares = np.array([decision.fraction for decision in decisions])
    assert weights @ shares / weights.sum() == pytest.approx(target, abs=1e-9)
    assert shares.min() >= 0.02 - 1e-12
    assert shares.max() <= 0.93 + 1e-12
    loads = [decision.load for decision in decisions]
    for one in range(len(group)):
        for other in range(len(group)):
            assert loads[one] <= loads[other] or shares[one] <= shares[other] + 1e-12


@law
@given(drawn=healths, target=st.floats(0.05, 0.9))
def test_without_spread_every_cluster_sheds_the_target(
    drawn: list[tuple[float, float, float, int]], target: float
) -> None:
    decisions = decide_fractions(clusters(drawn), ThresholdConfig(spread=0.0), target=target)
    assert {decision.fraction for decision in decisions} == {decisions[0].fraction}
    assert decisions[0].fraction == pytest.approx(target, abs=1e-12)
    assert {decision.advice for decision in decisions} <= {"thin evenly", "look whether it can go"}


@law
@given(drawn=healths, share=st.floats(0, 1), target=st.floats(0.3, 0.7))
def test_a_share_set_by_hand_stays_and_the_others_make_up_for_it(
    drawn: list[tuple[float, float, float, int]], share: float, target: float
) -> None:
    group = clusters(drawn)
    weights = np.array([cluster.num_weights for cluster in group])
    assume(len(group) > 1 and weights[0] < 0.1 * weights.sum())
    decisions = decide_fractions(group, ThresholdConfig(overrides={"L0.n0": share}), target=target)
    assert decisions[0].fraction == share
    assert decisions[0].is_by_hand
    assert decisions[0].reasons == ("set by hand",)
    shares = np.array([decision.fraction for decision in decisions])
    assert weights @ shares / weights.sum() == pytest.approx(target, abs=1e-9)


def test_each_layer_meets_the_target_by_itself_or_the_model_as_a_whole() -> None:
    group = [*clusters([(1, 0, 0, 10), (2, 0, 0, 30)], 0), *clusters([(5, 0, 0, 10), (9, 0, 0, 10)], 1)]
    by_layer = decide_fractions(group, ThresholdConfig(balance="layer"), target=0.5)
    by_model = decide_fractions(group, ThresholdConfig(balance="model"), target=0.5)
    weights = np.array([10, 30, 10, 10])
    found = np.array([[decision.fraction for decision in decisions] for decisions in (by_layer, by_model)])
    for rows in (slice(0, 2), slice(2, 4)):
        assert weights[rows] @ found[0, rows] / weights[rows].sum() == pytest.approx(0.5)
    assert weights @ found[1] / 60 == pytest.approx(0.5)
    assert found[1, 2:].mean() < 0.5 < found[1, :2].mean()


def test_by_hand_two_equal_clusters_part_by_the_spread_times_their_load() -> None:
    low, high = decide_fractions(
        clusters([(1, 0, 0.5, 100), (3, 0, 0.5, 100)]),
        ThresholdConfig(spread=0.1, weights=HealthWeights(importance=1.0, variance=1.0, density=1.0)),
        target=0.5,
    )
    assert (low.fraction, high.fraction) == (pytest.approx(0.6), pytest.approx(0.4))
    assert low.contributions["importance"] == -1.0
    assert (low.advice, high.advice) == ("thin more", "thin less")
    assert low.reasons == ("importance takes 1.00 from its load",)


def test_damage_counts_where_it_was_measured_and_what_is_gone_counts_too() -> None:
    hurt = [health(1, 0, 0.5, 10, name="n0", damage=3.0), health(1, 0, 0.5, 10, name="n1", damage=1.0)]
    first, second = decide_fractions(hurt, ThresholdConfig(), target=0.5)
    assert first.fraction < second.fraction
    half = [hurt[0], health(1, 0, 0.5, 10, name="n1")]
    assert all(
        "damage" not in decision.contributions for decision in decide_fractions(half, ThresholdConfig(), target=0.5)
    )
    thin = [health(1, 0, 0.5, 10, name="n0", shed_so_far=0.4), health(1, 0, 0.5, 10, name="n1")]
    first, second = decide_fractions(thin, ThresholdConfig(), target=0.5)
    assert first.fraction < second.fraction


def test_bounds_are_told_and_a_protected_cluster_is_named_so() -> None:
    config = ThresholdConfig(spread=0.5, low=0.2, high=0.8)
    low, high = decide_fractions(clusters([(1, 0, 0, 100), (3, 0, 0, 100)]), config, target=0.5)
    assert (low.fraction, high.fraction) == (pytest.approx(0.8), pytest.approx(0.2))
    assert "held at the upper bound" in low.reasons
    assert "held at the lower bound" in high.reasons
    assert high.advice == "protect"


def test_a_target_out_of_reach_names_what_can_be_reached() -> None:
    group = clusters([(1, 0, 0, 100), (3, 0, 0, 300)])
    with pytest.raises(TargetOutOfReachError, match=r"The bounds leave 0\.0750 to 0\.3000 to be shed; 0\.5000"):
        decide_fractions(group, ThresholdConfig(low=0.1, high=0.4, overrides={"L0.n0": 0.0}), target=0.5)


def test_an_override_of_no_cluster_is_refused() -> None:
    with pytest.raises(UnknownClusterError, match=r"There is no cluster L9\.n1"):
        decide_fractions(clusters([(1, 0, 0, 1)]), ThresholdConfig(overrides={"L9.n1": 0.1}), target=0.5)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match=r"low \(0.9\) is above high \(0.5\)"):
        ThresholdConfig(low=0.9, high=0.5)
    with pytest.raises(ValueError, match="the override of n0 is not between 0 and 1"):
        ThresholdConfig(overrides={"n0": 1.5})


def test_filling_lifts_all_by_the_same_but_for_the_bounds() -> None:
    zeros, ones = np.zeros(3), np.ones(3)
    found = fill_to_target(np.array([0.0, 0.2, 5.0]), np.array([1.0, 1.0, 2.0]), low_G=zeros, high_G=ones, target=0.6)
    np.testing.assert_allclose(found, [0.1, 0.3, 1.0])
