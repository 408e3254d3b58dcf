"""Two clusterings side by side: of two methods, or of one model before and after a wave.

Shapes: A clusters before, B clusters after, S units that both know, K figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from birdbone.compress.clusters.features import FeatureTable
from birdbone.compress.clusters.groups import Clustering

MIN_OVERLAP = 0.2
"""Two clusters that share less than this of their units are not one and the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A cluster that went on.

    Attributes:
        overlap: units that both have over units that either has (Jaccard).
        drift: how far the mean of its figures moved, in standard deviations over the units before, as a root mean
            square over the figures; None where no figures of both were given.
    """

    before: str
    after: str
    overlap: float
    drift: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution:
    """What became of clusters.

    Attributes:
        agreement: adjusted Rand index over the units that both know; None where there are none.
        deaths: clusters before that none after goes on from.
        births: clusters after that go on from none before.
        num_gone, num_come: units that only the one before, or only the one after, has.
        shared_AB: how many units went from each cluster to each.
    """

    agreement: float | None
    matches: tuple[Match, ...]
    deaths: tuple[str, ...]
    births: tuple[str, ...]
    num_gone: int
    num_come: int
    names_A: tuple[str, ...]
    names_B: tuple[str, ...]
    shared_AB: NDArray[np.int64]


def follow_clusters(
    before: Clustering,
    after: Clustering,
    *,
    tables: tuple[FeatureTable, FeatureTable] | None = None,
    min_overlap: float = MIN_OVERLAP,
) -> Evolution:
    """Return which cluster became which: the pairing with the most overlap in all.

    Args:
        before: units are told apart by layer and place, so both must be of one kind.
        tables: figures of the units before and after, in the order of the clusterings; for the drift.
        min_overlap: a pair below it is a death and a birth.
    Source of the pairing: Kuhn 1955 (the Hungarian method), as in SciPy.
    """
    label_before, label_after = _on_shared_units(before, after)
    shared_AB = np.zeros((len(before.clusters), len(after.clusters)), dtype=np.int64)
    np.add.at(shared_AB, (label_before, label_after), 1)
    overlap_AB = shared_AB / np.maximum(
        shared_AB.sum(axis=1, keepdims=True) + shared_AB.sum(axis=0, keepdims=True) - shared_AB, 1
    )
    rows, columns = linear_sum_assignment(-overlap_AB)
    pairs = [
        (int(a), int(b)) for a, b in zip(rows, columns, strict=True) if overlap_AB[a, b] >= max(min_overlap, 1e-12)
    ]
    return Evolution(
        agreement=adjusted_rand(shared_AB) if label_before else None,
        matches=tuple(_match(before, after, pair, overlap_AB, tables) for pair in pairs),
        deaths=_others(before, [a for a, _ in pairs]),
        births=_others(after, [b for _, b in pairs]),
        num_gone=len(before.label_N) - len(label_before),
        num_come=len(after.label_N) - len(label_after),
        names_A=tuple(cluster.name for cluster in before.clusters),
        names_B=tuple(cluster.name for cluster in after.clusters),
        shared_AB=shared_AB,
    )


def adjusted_rand(shared_AB: NDArray[np.int64]) -> float:
    """Return the adjusted Rand index of two groupings from how many units each pair of groups shares.

    Source: Hubert and Arabie 1985, eq. 5.
    """
    pairs, rows, columns = (_pairs(counts) for counts in (shared_AB, shared_AB.sum(axis=1), shared_AB.sum(axis=0)))
    total = shared_AB.sum() * (shared_AB.sum() - 1) / 2
    expected = rows * columns / total if total else 0.0
    best = (rows + columns) / 2
    return 1.0 if best == expected else float((pairs - expected) / (best - expected))


def _pairs(counts: NDArray[np.int64]) -> float:
    return float((counts * (counts - 1) / 2).sum())


def _keys(clustering: Clustering) -> dict[tuple[int, int], int]:
    places = zip(clustering.layer_N.tolist(), clustering.index_N.tolist(), strict=True)
    return dict(zip(places, clustering.label_N.tolist(), strict=True))


def _on_shared_units(before: Clustering, after: Clustering) -> tuple[list[int], list[int]]:
    keys_before, keys_after = _keys(before), _keys(after)
    shared = [key for key in keys_before if key in keys_after]
    return [keys_before[key] for key in shared], [keys_after[key] for key in shared]


def _others(clustering: Clustering, matched: list[int]) -> tuple[str, ...]:
    return tuple(cluster.name for number, cluster in enumerate(clustering.clusters) if number not in matched)


def _match(
    before: Clustering,
    after: Clustering,
    pair: tuple[int, int],
    overlap_AB: NDArray[np.float64],
    tables: tuple[FeatureTable, FeatureTable] | None,
) -> Match:
    return Match(
        before=before.clusters[pair[0]].name,
        after=after.clusters[pair[1]].name,
        overlap=float(overlap_AB[pair]),
        drift=None if tables is None else _drift(before, after, pair, tables),
    )


def _drift(
    before: Clustering, after: Clustering, pair: tuple[int, int], tables: tuple[FeatureTable, FeatureTable]
) -> float | None:
    known = [name for name in tables[0].names if name in tables[1].names]
    if not known:
        return None
    values = [table.values_NK[:, [table.names.index(name) for name in known]] for table in tables]
    means = [
        value_NK[clustering.label_N == number].mean(axis=0)
        for value_NK, clustering, number in zip(values, (before, after), pair, strict=True)
    ]
    spread_K = np.maximum(values[0].std(axis=0), 1e-12)
    return float(np.sqrt(np.square((means[1] - means[0]) / spread_K).mean()))
