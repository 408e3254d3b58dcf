"""Groups that are there are found, by every method; quality and stability say when there are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.clusters.made_up import blobs, table
from tests.compress.matrices import law, seeds

from birdbone.compress.clusters.clustering import find_clusters
from birdbone.compress.clusters.features import Features, FeatureTable, find_components
from birdbone.compress.clusters.methods import MAX_COMPARED_UNITS, Method, group_units
from birdbone.compress.clusters.quality import measure_quality
from birdbone.compress.config import (
    AgglomerativeConfig,
    ClusterConfig,
    FeatureConfig,
    HdbscanConfig,
    KMeansConfig,
    StabilityConfig,
)
from birdbone.compress.errors import TooFewUnitsError, TooManyUnitsError

METHODS = [KMeansConfig(), AgglomerativeConfig(), HdbscanConfig()]
TRUTH = np.repeat([0, 1, 2], [30, 20, 10])


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)
def test_three_heaps_are_found_and_numbered_by_size(method: Method) -> None:
    found = group_units(blobs(0, apart=20.0), method, seed=0)
    assert found.label_N.tolist() == TRUTH.tolist()
    assert found.quality.num_clusters == 3
    assert found.quality.silhouette is not None
    assert found.quality.silhouette > 0.6
    assert found.quality in found.tried


@law
@given(seed=seeds)
def test_each_cut_of_the_tree_divides_clusters_of_the_cut_above(seed: int) -> None:
    points_NC = np.random.default_rng(seed).standard_normal((40, 3))
    depths = group_units(points_NC, AgglomerativeConfig(depths=(2, 3, 5, 9)), seed=0).depths
    assert sorted(depths) == [2, 3, 5, 9]
    for coarse, fine in ((2, 3), (3, 5), (5, 9)):
        assert len(np.unique(depths[fine])) == fine
        for label in range(fine):
            assert len(np.unique(depths[coarse][depths[fine] == label])) == 1


def test_a_unit_in_no_heap_is_in_no_cluster_and_counts_for_nothing() -> None:
    points_NC = np.concatenate([blobs(1, apart=20.0), np.full((1, 4), 500.0)])
    found = group_units(points_NC, HdbscanConfig(), seed=0)
    assert found.label_N[-1] == -1
    assert found.quality.num_units == int((found.label_N >= 0).sum()) == 60


def test_the_inertia_and_the_silhouette_of_two_pairs() -> None:
    quality = measure_quality(np.array([[0.0], [2.0], [10.0], [12.0]]), np.array([0, 0, 1, 1]), seed=0)
    assert quality.inertia == pytest.approx(4.0)
    assert quality.silhouette == pytest.approx((9 / 11 + 7 / 9) / 2)
    assert quality.davies_bouldin == pytest.approx((1 + 1) / 10)
    assert quality.calinski_harabasz == pytest.approx((4 * 25 / 1) / (4 / 2))


def test_what_one_cluster_cannot_show_is_absent() -> None:
    quality = measure_quality(np.zeros((5, 2)), np.zeros(5, dtype=np.int64), seed=0)
    assert (quality.silhouette, quality.davies_bouldin, quality.calinski_harabasz) == (None, None, None)


def test_too_few_and_too_many_units_are_refused() -> None:
    with pytest.raises(TooFewUnitsError, match="3 units are too few for kmeans here; at least 5"):
        group_units(np.zeros((3, 2)), KMeansConfig(num_clusters=4), seed=0)
    with pytest.raises(TooManyUnitsError, match="agglomerative compares each unit with each"):
        group_units(np.zeros((MAX_COMPARED_UNITS + 1, 1)), AgglomerativeConfig(), seed=0)


@law
@given(seed=seeds, factor=st.floats(0.01, 100), copies=st.integers(1, 4))
def test_a_block_weighs_the_same_however_it_is_scaled_and_however_many_columns_it_has(
    seed: int, factor: float, copies: int
) -> None:
    draw = np.random.default_rng(seed)
    one, other = draw.standard_normal((20, 3)), draw.standard_normal((20, 2))
    config = FeatureConfig(variance_kept=1.0)
    plain = find_components(with_blocks({"a": one, "b": other}), config)
    turned = find_components(with_blocks({"a": np.tile(one, copies) * factor + 7, "b": other}), config)
    np.testing.assert_allclose(distances(plain.points_NC), distances(turned.points_NC), atol=1e-6)
    assert plain.variance_share_C.sum() == pytest.approx(1.0)


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def with_blocks(blocks: dict[str, np.ndarray]) -> FeatureTable:
    made = table(next(iter(blocks.values())))
    return FeatureTable(**{**{name: getattr(made, name) for name in made.__slots__}, "blocks": blocks})


def features(points: np.ndarray, layers: list[int]) -> Features:
    made = table(points)
    whole = FeatureTable(**{**{name: getattr(made, name) for name in made.__slots__}, "layer_N": np.array(layers)})
    return Features(whole=whole, halves=(whole, whole))


def test_each_layer_has_clusters_of_its_own_and_every_unit_one_name() -> None:
    points = np.concatenate([blobs(0, apart=20.0), blobs(3, sizes=(25, 15), apart=20.0)])
    config = ClusterConfig(method=KMeansConfig(max_clusters=4), features=FeatureConfig(variance_kept=1.0))
    found = find_clusters(features(points, [0] * 60 + [5] * 40), config, seed=0)
    assert [cluster.name for cluster in found.clusters] == ["L0.n0", "L0.n1", "L0.n2", "L5.n0", "L5.n1"]
    assert [cluster.num_units for cluster in found.clusters] == [30, 20, 10, 25, 15]
    assert found.label_N.tolist() == np.repeat([0, 1, 2, 3, 4], [30, 20, 10, 25, 15]).tolist()
    assert found.members("L5.n1").nonzero()[0].tolist() == list(range(85, 100))
    for part in found.parts:
        assert part.stability.halves == 1.0
        assert part.stability.seeds is not None
        assert part.stability.seeds.mean == 1.0
        assert part.stability.subsamples is not None
        assert part.stability.subsamples.least == 1.0


def test_over_the_whole_model_there_is_one_set() -> None:
    points = np.concatenate([blobs(0, apart=20.0), blobs(0, apart=20.0)])
    config = ClusterConfig(scope="model", method=HdbscanConfig())
    found = find_clusters(features(points, [0] * 60 + [1] * 60), config, seed=0)
    assert [(cluster.name, cluster.layer, cluster.num_units) for cluster in found.clusters] == [
        ("n0", None, 60), ("n1", None, 40), ("n2", None, 20)
    ]  # fmt: skip
    assert found.parts[0].stability.seeds is None


def test_a_cloud_without_clusters_has_a_low_silhouette_and_does_not_come_again() -> None:
    points = np.random.default_rng(0).standard_normal((120, 6))
    config = ClusterConfig(
        method=KMeansConfig(num_clusters=6, num_starts=1), stability=StabilityConfig(num_seeds=3, num_subsamples=4)
    )
    (part,) = find_clusters(features(points, [0] * 120), config, seed=0).parts
    assert part.quality.silhouette is not None
    assert part.quality.silhouette < 0.3
    assert part.stability.seeds is not None
    assert part.stability.seeds.mean < 0.8


def test_units_in_no_cluster_have_a_name_that_says_so() -> None:
    points = np.concatenate([blobs(1, apart=20.0), np.full((1, 4), 500.0)])
    config = ClusterConfig(method=HdbscanConfig(), features=FeatureConfig(variance_kept=1.0))
    found = find_clusters(features(points, [2] * 61), config, seed=0)
    assert found.clusters[-1].name == "L2.n-"
    assert found.clusters[-1].num_units == found.parts[0].num_outside >= 1
