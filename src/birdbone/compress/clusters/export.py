"""Clusters as plain data, as tables for other programs, and read back from JSON. Shapes: N units."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from birdbone.compress.clusters.features import FeatureTable
from birdbone.compress.clusters.groups import Cluster, Clustering
from birdbone.compress.errors import BadClusterFileError
from birdbone.core import write_atomically

FORMAT = "birdbone clusters 1"
"""First word of the JSON document."""

_BATCH = 4096


def clusters_to_data(clustering: Clustering) -> dict[str, Any]:
    """Return clusters, quality and every unit's cluster as plain data; what was not measured is null."""
    return {
        "format": FORMAT,
        "units": clustering.units,
        "method": clustering.method,
        "clusters": [asdict(cluster) for cluster in clustering.clusters],
        "parts": [_plain(asdict(part)) for part in clustering.parts],
        "unit_layer": clustering.layer_N.tolist(),
        "unit_index": clustering.index_N.tolist(),
        "unit_cluster": clustering.label_N.tolist(),
        "depths": {str(count): label_N.tolist() for count, label_N in clustering.depths.items()},
    }


def clusters_from_data(data: Any, *, name: str) -> Clustering:
    """Return the clusters of what `clusters_to_data` gave. The quality of the parts is not read back.

    Raises:
        BadClusterFileError: it is something else, or units and clusters do not fit each other (names `name`).
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BadClusterFileError(f"{name} is not a file of clusters.", file=name)
    try:
        found = _read(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadClusterFileError(f"{name} is damaged: {error!r}.", file=name) from error
    lengths = {len(found.layer_N), len(found.index_N), len(found.label_N)}
    if len(lengths) != 1 or np.any((found.label_N < 0) | (found.label_N >= len(found.clusters))):
        raise BadClusterFileError(f"{name} is damaged: its units and its clusters do not fit.", file=name)
    return found


def read_clusters(path: Path) -> Clustering:
    """Return the clusters of a JSON file.

    Raises:
        BadClusterFileError: there is no such file, or it is something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadClusterFileError(f"{path} cannot be read: {error}.", file=str(path)) from error
    return clusters_from_data(data, name=path.name)


def units_table(table: FeatureTable, clustering: Clustering) -> pa.Table:
    """Return one row a unit: its layer, its place, its cluster, its figures, and its group at each cut of the tree."""
    names = [cluster.name for cluster in clustering.clusters]
    columns: dict[str, Any] = {
        "layer": clustering.layer_N,
        "unit": clustering.index_N,
        "cluster": [names[label] for label in clustering.label_N],
    }
    columns |= {name: table.values_NK[:, number] for number, name in enumerate(table.names)}
    columns |= {f"group of {count}": label_N for count, label_N in clustering.depths.items()}
    return pa.table(columns)


def write_csv(path: Path, table: pa.Table) -> None:
    """Write a table as CSV with a line of names, whole or not at all."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.column_names)
    for batch in table.to_batches(max_chunksize=_BATCH):
        writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    with write_atomically(path) as file:
        file.write(stream.getvalue().encode())


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet, whole or not at all."""
    with write_atomically(path) as file:
        pq.write_table(table, file)


def _read(data: dict[str, Any]) -> Clustering:
    return Clustering(
        units=data["units"],
        method=str(data["method"]),
        layer_N=np.array(data["unit_layer"], dtype=np.int64),
        index_N=np.array(data["unit_index"], dtype=np.int64),
        label_N=np.array(data["unit_cluster"], dtype=np.int64),
        clusters=tuple(Cluster(**cluster) for cluster in data["clusters"]),
        parts=(),
        depths={int(count): np.array(labels, dtype=np.int64) for count, labels in data["depths"].items()},
    )


def _plain(value: Any) -> Any:
    """Return nested data with null for what is not finite: JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
