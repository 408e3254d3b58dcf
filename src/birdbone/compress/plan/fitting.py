"""Fits of few measurements with coefficients that are never negative, and their error on what was left out. No torch.

Shapes: P measurements, K coefficients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls  # type: ignore[import-untyped]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOneOut:
    """How far predictions lay off the measurements that they were not fitted to.

    Attributes:
        errors: of each measurement, predicted over measured less 1, or as the model says.
    """

    errors: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the absolute errors."""
        return float(np.median(np.abs(self.errors)))

    @property
    def largest(self) -> float:
        """Largest absolute error."""
        return float(np.max(np.abs(self.errors)))

    @property
    def spread(self) -> float:
        """Half the width of an interval that about 95 of 100 errors lie in, were they normal: twice their root mean
        square.
        """
        return 2 * math.sqrt(float(np.mean(np.square(self.errors))))


def fit_nonnegative(
    features_PK: Floats, measured_P: Floats, *, held_K: Floats | None = None, ridge: float = 1e-3
) -> Floats:
    """Return coefficients, none below 0, of least squared *relative* error.

    Args:
        held_K: what coefficients are held near; 0 unless given. It decides between features that the measurements can
            hardly tell apart.
        ridge: how firmly they are held, as a share of the mean square of a column.

    Source: Lawson & Hanson 1974, Solving Least Squares Problems, ch. 23, as scipy's `nnls`.
    """
    scaled_PK = features_PK / measured_P[:, None]
    size_K = np.sqrt(np.square(scaled_PK).mean(axis=0))
    size_K[size_K == 0] = 1.0
    firmness = math.sqrt(ridge * len(scaled_PK))
    held = np.zeros(len(size_K)) if held_K is None else held_K * size_K
    rows = np.vstack([scaled_PK / size_K, firmness * np.eye(len(size_K))])
    found_K, _ = nnls(rows, np.concatenate([np.ones(len(scaled_PK)), firmness * held]))
    return np.asarray(found_K / size_K)
