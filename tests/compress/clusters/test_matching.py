"""What became of clusters: worked by hand, and the same whatever they are called."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from tests.compress.clusters.made_up import clustering, table
from tests.compress.matrices import law, seeds

from birdbone.compress.clusters.matching import follow_clusters
from birdbone.compress.clusters.topology import cluster_correlations, cluster_profiles, cluster_ties

labels = st.lists(st.integers(0, 3), min_size=8, max_size=30)


def full(found: list[int]) -> list[int]:
    """Number labels so that none is left out."""
    known = {label: number for number, label in enumerate(dict.fromkeys(found))}
    return [known[label] for label in found]


@law
@given(found=labels, seed=seeds)
def test_clusters_with_other_names_are_the_same_clusters(found: list[int], seed: int) -> None:
    before = full(found)
    order = np.random.default_rng(seed).permutation(max(before) + 1)
    change = follow_clusters(clustering(before), clustering([int(order[label]) for label in before]))
    assert change.agreement == pytest.approx(1.0)
    assert {(match.before, match.after) for match in change.matches} == {
        (f"n{label}", f"n{order[label]}") for label in set(before)
    }
    assert all(match.overlap == 1.0 for match in change.matches)
    assert (change.births, change.deaths) == ((), ())


@law
@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=40))
def test_the_agreement_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    one, other = (full([pair[side] for pair in pairs]) for side in (0, 1))
    change = follow_clusters(clustering(one), clustering(other))
    assert change.agreement == pytest.approx(adjusted_rand_score(one, other), abs=1e-9)
    assert change.shared_AB.sum() == len(pairs)


def test_a_cluster_ends_a_cluster_is_born_and_units_leave() -> None:
    before = clustering([0, 0, 0, 0, 1, 1, 1, 2, 2])
    after = clustering([0, 0, 0, 1, 1, 1, 2], units=[0, 1, 2, 4, 5, 6, 3])
    change = follow_clusters(before, after)
    overlaps = {(match.before, match.after): match.overlap for match in change.matches}
    assert overlaps == {("n0", "n0"): 0.75, ("n1", "n1"): 1.0}
    assert (change.deaths, change.births) == (("n2",), ("n2",))
    assert (change.num_gone, change.num_come) == (2, 0)


def test_of_no_shared_units_no_agreement_is_measured() -> None:
    change = follow_clusters(clustering([0, 0]), clustering([0, 0], units=[5, 6]))
    assert (change.agreement, change.deaths, change.births) == (None, ("n0",), ("n0",))


def test_drift_is_how_far_the_mean_moved_in_standard_deviations() -> None:
    values = np.array([[0.0, 0.0], [0.0, 0.0], [2.0, 4.0], [2.0, 4.0]])
    moved = values + np.array([[1.0, 0.0]] * 2 + [[0.0, 0.0]] * 2)
    same = clustering([0, 0, 1, 1])
    first, second = follow_clusters(same, same, tables=(table(values), table(moved))).matches
    assert first.drift == pytest.approx(np.sqrt(0.5))
    assert second.drift == 0.0
    assert follow_clusters(same, same).matches[0].drift is None


def test_correlations_between_clusters_are_the_means_over_pairs_of_units() -> None:
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((6, 8))
    rows = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True) / np.sqrt(8)
    groups = clustering([0, 0, 0, 1, 1, 2])
    found = cluster_correlations(table(np.zeros((6, 1)), rows), groups)
    pairs = np.corrcoef(rows)
    assert found[0, 1] == pytest.approx(pairs[:3, 3:5].mean())
    assert found[0, 0] == pytest.approx((pairs[:3, :3].sum() - 3) / 6)
    assert np.isnan(found[2, 2])
    ties = cluster_ties(table(np.zeros((6, 1)), rows, num_tokens=8), groups)
    assert ties[0, 1] == pytest.approx(np.sqrt(max(0.0, np.square(pairs[:3, 3:5]).mean() - 1 / 8)))
    assert ties[0, 0] == pytest.approx(np.sqrt(max(0.0, (np.square(pairs[:3, :3]).sum() - 3) / 6 - 1 / 8)))


def test_a_profile_is_the_mean_in_standard_deviations() -> None:
    values = np.array([[1.0, 5.0], [1.0, 5.0], [3.0, 5.0], [3.0, 5.0]])
    assert cluster_profiles(table(values), clustering([0, 0, 1, 1])).tolist() == [[-1.0, 0.0], [1.0, 0.0]]
