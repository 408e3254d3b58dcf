"""Clusters of a real model from text to file: the same twice, written whole, read back as they were."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.compress.clusters.made_up import clustering
from tests.compress.conftest import Dense

from birdbone.compress.clusters.export import (
    clusters_from_data,
    clusters_to_data,
    read_clusters,
    units_table,
    write_csv,
    write_parquet,
)
from birdbone.compress.clusters.survey import ClusterSurvey, survey_clusters
from birdbone.compress.clusters.token_classes import classify_vocabulary
from birdbone.compress.config import AgglomerativeConfig, ClusterConfig, FeatureConfig, StabilityConfig
from birdbone.compress.errors import BadClusterFileError

pytestmark = pytest.mark.usefixtures("dense_stays")


def survey_of(dense: Dense) -> ClusterSurvey:
    return survey_clusters(
        dense.loaded.model,
        dense.loaded.architecture,
        dense.calibration_NT[:4],
        class_V=classify_vocabulary(dense.loaded.tokenizer, dense.loaded.architecture.vocab_size),
        config=ClusterConfig(
            units="heads",
            scope="model",
            method=AgglomerativeConfig(depths=(2, 4)),
            features=FeatureConfig(num_directions=4, num_buckets=16),
            stability=StabilityConfig(num_subsamples=2),
        ),
        seed=0,
        layers=(0, 2, 3),
    )


def test_the_same_text_and_seed_give_the_same_clusters_and_files(dense: Dense, tmp_path: Path) -> None:
    one, other = survey_of(dense), survey_of(dense)
    assert clusters_to_data(one.clustering) == clusters_to_data(other.clustering)
    np.testing.assert_array_equal(one.places[None].pca_M3, other.places[None].pca_M3)
    assert sorted(set(one.table.layer_N.tolist())) == [0, 2, 3]
    assert len(one.clustering.label_N) == 12
    assert one.other is not None
    assert one.other[0] == "kmeans"

    table = units_table(one.table, one.clustering)
    write_csv(tmp_path / "units.csv", table)
    write_parquet(tmp_path / "units.parquet", table)
    rows = list(csv.DictReader((tmp_path / "units.csv").open(encoding="utf-8")))
    assert [int(row["unit"]) for row in rows] == [0, 1, 2, 3] * 3
    assert {row["cluster"] for row in rows} == {cluster.name for cluster in one.clustering.clusters}
    assert float(rows[3]["density"]) == pytest.approx(one.table.values_NK[3, one.table.names.index("density")])
    assert pq.read_table(tmp_path / "units.parquet").equals(table)
    assert "group of 4" in table.column_names


def test_clusters_come_back_from_json_as_they_were(tmp_path: Path) -> None:
    made = clustering([0, 1, 1, 0, 2])
    path = tmp_path / "clusters.json"
    path.write_text(json.dumps(clusters_to_data(made)), encoding="utf-8")
    found = read_clusters(path)
    assert clusters_to_data(found) == clusters_to_data(made)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be read"),
        ('{"clusters": []}', "is not a file of clusters"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "clusters.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(BadClusterFileError, match=told):
        read_clusters(path)


@pytest.mark.parametrize(
    "change", [{"unit_cluster": [0, 1, 1, 0, 9]}, {"unit_layer": [0]}, {"clusters": [{"name": "n0"}]}, {"depths": None}]
)
def test_a_damaged_file_is_refused(change: dict[str, object]) -> None:
    data = clusters_to_data(clustering([0, 1, 1, 0, 2])) | change
    with pytest.raises(BadClusterFileError, match="is damaged"):
        clusters_from_data(data, name="clusters.json")
