"""How clusters fire together, and what each is like. Shapes: N units, K figures, G clusters, P buckets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from birdbone.compress.clusters.features import FeatureTable
from birdbone.compress.clusters.groups import Clustering


def cluster_correlations(table: FeatureTable, clustering: Clustering) -> NDArray[np.float64]:
    """Return the mean correlation over tokens between units of every two clusters, (G, G).

    On the diagonal of two different units of the cluster; NaN for a cluster of one. An estimate from sketches, exact on
    text with no more tokens than buckets.
    """
    num_clusters = len(clustering.clusters)
    sum_GP = np.zeros((num_clusters, table.coactivation_NP.shape[1]))
    np.add.at(sum_GP, clustering.label_N, table.coactivation_NP)
    own_G = np.bincount(
        clustering.label_N, weights=np.square(table.coactivation_NP).sum(axis=1), minlength=num_clusters
    )
    size_G = np.bincount(clustering.label_N, minlength=num_clusters).astype(np.float64)
    inner_GG = sum_GP @ sum_GP.T
    return _mean_over_pairs(inner_GG, own_G, size_G)


def cluster_ties(table: FeatureTable, clustering: Clustering) -> NDArray[np.float64]:
    """Return how strongly units of every two clusters fire together or against each other, (G, G), at least 0.

    The root mean square of their correlations, less what unrelated units would show by chance: signs do not cancel, as
    they do in the mean. On the diagonal of two different units of the cluster; NaN for a cluster of one.
    Chance is about 1 / tokens from the text and, with more tokens than buckets, 1 / buckets from the sketch.
    """
    num_clusters, num_buckets = len(clustering.clusters), table.coactivation_NP.shape[1]
    chance = 1 / table.num_tokens + (1 / num_buckets if table.num_tokens > num_buckets else 0.0)
    members = [table.coactivation_NP[clustering.label_N == number] for number in range(num_clusters)]
    gram_GPP = np.stack([own_MP.T @ own_MP for own_MP in members]).reshape(num_clusters, -1)
    own_G = np.array([np.square(np.square(own_MP).sum(axis=1)).sum() for own_MP in members])
    size_G = np.array([len(own_MP) for own_MP in members], dtype=np.float64)
    square_GG = gram_GPP @ gram_GPP.T
    ties_GG: NDArray[np.float64] = np.sqrt(np.maximum(_mean_over_pairs(square_GG, own_G, size_G) - chance, 0.0))
    return ties_GG


def cluster_profiles(table: FeatureTable, clustering: Clustering) -> NDArray[np.float64]:
    """Return the mean of each figure over each cluster, (G, K), in standard deviations over all units."""
    spread_K = table.values_NK.std(axis=0)
    is_varying_K = spread_K > 1e-12
    centred_NK = table.values_NK - table.values_NK.mean(axis=0)
    standard_NK = np.where(is_varying_K, centred_NK / np.maximum(spread_K, 1e-12), 0.0)
    sum_GK = np.zeros((len(clustering.clusters), len(table.names)))
    np.add.at(sum_GK, clustering.label_N, standard_NK)
    size_G = np.bincount(clustering.label_N, minlength=len(clustering.clusters))
    profiles_GK: NDArray[np.float64] = sum_GK / np.maximum(size_G, 1)[:, None]
    return profiles_GK


def _mean_over_pairs(
    sum_GG: NDArray[np.float64], own_G: NDArray[np.float64], size_G: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return sums over all pairs of units as means, on the diagonal without a unit and itself; NaN for one alone."""
    mean_GG: NDArray[np.float64] = sum_GG / np.outer(size_G, size_G)
    others_G = np.where(size_G > 1, size_G * (size_G - 1), np.nan)
    np.fill_diagonal(mean_GG, (sum_GG.diagonal() - own_G) / others_G)
    return mean_GG
