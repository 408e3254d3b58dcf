"""Places of units for pictures: the first principal components, and t-SNE. Shapes: N units, M units that are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE  # type: ignore[import-untyped]

from birdbone.compress.clusters.groups import Places

MAX_DRAWN = 1500
"""More marks cannot be told apart; so many units are drawn by lot."""

_MIN_FOR_TSNE = 8


def place_units(points_NC: NDArray[np.float64], *, seed: int, max_drawn: int = MAX_DRAWN) -> Places:
    """Return places of at most `max_drawn` units; the same points and seed give the same places.

    Source of t-SNE: van der Maaten and Hinton 2008, with the Barnes-Hut approximation of scikit-learn.
    """
    drawn_M = np.arange(len(points_NC))
    if len(points_NC) > max_drawn:
        drawn_M = np.sort(np.random.default_rng(seed).choice(len(points_NC), max_drawn, replace=False))
    points_MC = points_NC[drawn_M]
    pca_M3 = np.zeros((len(drawn_M), 3))
    pca_M3[:, : min(3, points_MC.shape[1])] = points_MC[:, :3]
    return Places(drawn_M=drawn_M, pca_M3=pca_M3, tsne_M2=_tsne(points_MC, seed))


def _tsne(points_MC: NDArray[np.float64], seed: int) -> NDArray[np.float64] | None:
    if len(points_MC) < _MIN_FOR_TSNE:
        return None
    perplexity = min(30.0, (len(points_MC) - 1) / 3)
    found = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
    return np.asarray(found.fit_transform(points_MC), dtype=np.float64)
