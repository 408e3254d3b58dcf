"""Intervals by drawing clusters: what one cluster holds is one piece of evidence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.fairness.resampling import cluster_interval, draw_totals, sum_clusters


def share(totals_R2):
    return totals_R2[:, 1] / totals_R2[:, 0]


def counts_of(hits: list[int]) -> np.ndarray:
    return np.array([(1, hit) for hit in hits], dtype=float)


@settings(max_examples=12)
@given(st.lists(st.integers(0, 1), min_size=8, max_size=30).filter(lambda hits: len(set(hits)) > 1), st.integers(2, 5))
def test_items_said_twice_within_their_cluster_prove_nothing_more(hits: list[int], times: int) -> None:
    counts = counts_of(hits)
    many = sum_clusters(np.repeat(counts, times, axis=0), [place for place in range(len(hits)) for _ in range(times)])
    assert cluster_interval(many, share) == pytest.approx(cluster_interval(counts, share))


def test_items_of_their_own_prove_more() -> None:
    few, many = counts_of([0, 1] * 5), counts_of([0, 1] * 50)
    (low, high), (near, far) = cluster_interval(few, share), cluster_interval(many, share)
    assert far - near < (high - low) / 2


def test_clusters_are_summed_by_name() -> None:
    sums = sum_clusters(counts_of([1, 0, 1, 1]), ["b", "a", "b", "a"])
    assert sums.tolist() == [[2, 2], [2, 1]]


def test_each_draw_has_as_many_clusters_as_there_are() -> None:
    totals = draw_totals(counts_of([0, 1, 1]), generator=np.random.default_rng(0), num_resamples=50)
    assert totals.shape == (50, 2)
    assert (totals[:, 0] == 3).all()


def test_too_few_clusters_a_figure_that_is_seldom_defined_or_never_varies_give_none() -> None:
    assert cluster_interval(counts_of([1] * 20), share) is None
    assert cluster_interval(counts_of([0, 1] * 3), share) is None
    rare = np.array([(0, 0)] * 9 + [(1, 1)], dtype=float)
    with np.errstate(invalid="ignore"):
        assert cluster_interval(rare, share) is None


def test_the_interval_of_a_share_covers_it_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    num_covered = 0
    for _ in range(40):
        low, high = cluster_interval(counts_of(draw.binomial(1, 0.5, size=60).tolist()), share)
        num_covered += low <= 0.5 <= high
    assert 33 <= num_covered <= 40
