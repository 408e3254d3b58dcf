"""What a wave will cost, said before it is made, with the error that such forecasts had so far.

Shapes: N waves, P features.

Theory of operation. A run has few waves, so the model is ridge regression on few features, with the intercept free: as
the penalty grows it falls back on the mean of all waves so far. The penalty is the one whose leave-one-out error is the
least. That error, which each forecast carries, is of waves that the fit did not see; the interval is as wide as it.
Below three waves nothing is forecast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

MIN_WAVES = 3
"""Waves before the first forecast."""

_PENALTIES = tuple(10.0**power for power in range(-3, 5))
_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveRecord:
    """A wave that was made: its features before it, and what it cost."""

    features: Mapping[str, float]
    rise: float
    """Rise of log perplexity over the state that it began with, in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a wave will cost, in nats, before it is made."""

    rise: float
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of it."""
    error: float
    """Root of the mean squared leave-one-out error of the waves so far."""
    error_of_mean: float
    """The same error of forecasting the mean of the other waves: what the features have to beat."""
    num_waves: int
    """Waves that it was fitted to."""


def forecast_wave(records: Sequence[WaveRecord], features: Mapping[str, float]) -> Forecast | None:
    """Return what a wave with these features will cost; None before there are `MIN_WAVES` finite records.

    Args:
        records: waves so far. Features that one of them lacks are left out.
    Source: ridge regression, Hoerl and Kennard 1970, Technometrics 12; leave-one-out residuals in closed form, Allen
    1974, Technometrics 16. The interval is normal, with the standard error inflated by 1 + 1/N for the small sample.
    """
    usable = [record for record in records if math.isfinite(record.rise)]
    if len(usable) < MIN_WAVES:
        return None
    names = [name for name in features if all(name in record.features for record in usable)]
    x_NP = np.array([[record.features[name] for name in names] for record in usable], dtype=float)
    y_N = np.array([record.rise for record in usable])
    fits = [fit_ridge(x_NP, y_N, penalty=penalty) for penalty in _PENALTIES]
    best = min(fits, key=lambda fit: fit.error)
    rise = best.predict(np.array([features[name] for name in names], dtype=float))
    reach = _Z * best.error * (1 + 1 / len(usable))
    mean_error = float(np.sqrt(np.mean(((y_N - y_N.mean()) * len(y_N) / (len(y_N) - 1)) ** 2)))
    return Forecast(
        rise=rise,
        low=rise - reach,
        high=rise + reach,
        error=best.error,
        error_of_mean=mean_error,
        num_waves=len(usable),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RidgeFit:
    """A fitted ridge regression on standardised features."""

    intercept: float
    weights_P: NDArray[np.float64]
    centre_P: NDArray[np.float64]
    scale_P: NDArray[np.float64]
    residuals_N: NDArray[np.float64]
    """Leave-one-out residuals, at the centre and scale of all rows."""

    @property
    def error(self) -> float:
        """Root of the mean squared leave-one-out residual."""
        return float(np.sqrt(np.mean(self.residuals_N**2)))

    def predict(self, x_P: NDArray[np.float64]) -> float:
        """Return the prediction for one row of features."""
        return float(self.intercept + ((x_P - self.centre_P) / self.scale_P) @ self.weights_P)


def fit_ridge(x_NP: NDArray[np.float64], y_N: NDArray[np.float64], *, penalty: float) -> RidgeFit:
    """Return a ridge regression whose intercept is free, with its leave-one-out residuals."""
    centre_P = x_NP.mean(axis=0)
    scale_P = np.where(x_NP.std(axis=0) > 1e-12, x_NP.std(axis=0), 1.0)
    design_NQ = np.column_stack([np.ones(len(y_N)), (x_NP - centre_P) / scale_P])
    ridge_Q = np.full(design_NQ.shape[1], penalty)
    ridge_Q[0] = 0.0
    inverse_QQ = np.linalg.pinv(design_NQ.T @ design_NQ + np.diag(ridge_Q))
    weights_Q = inverse_QQ @ design_NQ.T @ y_N
    leverage_N = np.einsum("nq,qr,nr->n", design_NQ, inverse_QQ, design_NQ)
    residuals_N = (y_N - design_NQ @ weights_Q) / np.maximum(1 - leverage_N, 1e-9)
    return RidgeFit(
        intercept=float(weights_Q[0]),
        weights_P=weights_Q[1:],
        centre_P=centre_P,
        scale_P=scale_P,
        residuals_N=residuals_N,
    )
