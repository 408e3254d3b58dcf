"""How bad the damage of each layer is, by what it costs in predictions. Shapes: L layers, N windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from birdbone.compress.config import SeverityLimits
from birdbone.evaluate.statistics import MIN_WINDOWS, bootstrap_means, interval

Severity = Literal["healthy", "mild", "moderate", "severe", "critical"]
_NUM_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSeverity:
    """The class of one layer's damage, with the figure behind it."""

    layer: int
    severity: Severity
    harm: float
    """Mean cost in nats a token."""
    low: float | None
    """Lower end of its 95 % interval over windows; None under `MIN_WINDOWS` windows or where it is not finite."""
    high: float | None
    """Upper end of it."""

    def is_certain(self, limits: SeverityLimits) -> bool:
        """Return whether both ends of the interval are of this class."""
        if self.low is None or self.high is None:
            return not np.isfinite(self.harm)
        return class_of(self.low, limits) == class_of(self.high, limits) == self.severity


def classify(
    harm_LN: NDArray[np.float64],
    limits: SeverityLimits,
    *,
    generator: np.random.Generator,
    num_resamples: int = _NUM_RESAMPLES,
) -> tuple[LayerSeverity, ...]:
    """Return the class of every layer's damage, by its mean; the interval is a bootstrap over windows.

    Args:
        harm_LN: what each layer's damage alone costs, as `patch_layers` gives it.
    """
    return tuple(
        _classify(layer, harm_N, limits, generator=generator, num_resamples=num_resamples)
        for layer, harm_N in enumerate(harm_LN)
    )


def class_of(harm: float, limits: SeverityLimits) -> Severity:
    """Return the class of a cost in nats a token; what is not finite is critical."""
    if not np.isfinite(harm) or harm >= limits.critical:
        return "critical"
    if harm >= limits.severe:
        return "severe"
    if harm >= limits.moderate:
        return "moderate"
    return "mild" if harm >= limits.mild else "healthy"


def calibrate_mild(
    healthy_LN: NDArray[np.float64],
    *,
    generator: np.random.Generator,
    quantile: float = 0.99,
    num_resamples: int = _NUM_RESAMPLES,
) -> float:
    """Return the cost in nats that harmless variation passes in one of a hundred models, in whichever layer.

    Args:
        healthy_LN: harm of each layer of a variation that is known to do no harm, such as rounding to bfloat16.
        quantile: of the highest layer's mean over resampled windows.
    """
    num_windows = healthy_LN.shape[1]
    draws_RN = generator.integers(num_windows, size=(num_resamples, num_windows))
    means_LR = healthy_LN[:, draws_RN].mean(axis=2)
    return float(np.quantile(means_LR.max(axis=0), quantile))


def _classify(
    layer: int,
    harm_N: NDArray[np.float64],
    limits: SeverityLimits,
    *,
    generator: np.random.Generator,
    num_resamples: int,
) -> LayerSeverity:
    harm = float(harm_N.mean())
    low = high = None
    if len(harm_N) >= MIN_WINDOWS and np.isfinite(harm):
        low, high = interval(bootstrap_means(harm_N, generator=generator, num_resamples=num_resamples))
    return LayerSeverity(layer=layer, severity=class_of(harm, limits), harm=harm, low=low, high=high)
