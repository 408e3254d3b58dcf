"""Which layer was injured, among layers that were all changed. Shapes: L layers.

Theory of operation. After waves every layer has own damage, and some always have more: the first layers write loudly,
the last are written over. So layers are not compared with each other but with what is healthy for them: the own damage
of a state that is known to be good, such as that of an earlier wave. Later waves hurt all layers more by about the same
factor, so the median of all ratios is taken out, and what is left over is the excess. Where no healthy state is known,
a layer is compared with its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NUM_NEIGHBOURS = 3
_FLOOR = 1e-14  # of a relative squared error in float32


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedLayer:
    """A layer with how far its own damage is beyond what is healthy for it."""

    layer: int
    excess: float
    """Natural log of its own error over the one that was to be expected; infinite if its output is not finite."""
    deviations: float
    """The same in robust standard deviations of all layers' excesses."""


def rank_layers(own_L: NDArray[np.float64], *, healthy_L: NDArray[np.float64] | None = None) -> tuple[RankedLayer, ...]:
    """Return all layers, the likeliest to be injured first.

    Args:
        own_L: own error of each layer against the dense model, as `measure_drift` gives it; what is not finite counts
            as infinite.
        healthy_L: the same of a state that is known to be good; None compares each layer with its neighbours.
    """
    log_L = _log(own_L)
    excess_L = log_L - (_of_neighbours(log_L) if healthy_L is None else _scaled(log_L, _log(healthy_L)))
    finite_L = excess_L[np.isfinite(excess_L)]
    spread = 1.4826 * float(np.median(np.abs(finite_L - np.median(finite_L)))) if len(finite_L) else 0.0
    order = np.argsort(-excess_L, kind="stable")
    return tuple(
        RankedLayer(layer=int(layer), excess=float(excess_L[layer]), deviations=_over(float(excess_L[layer]), spread))
        for layer in order
    )


def _log(errors_L: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(errors_L), np.log(np.maximum(errors_L, _FLOOR)), np.inf)


def _scaled(log_L: NDArray[np.float64], healthy_L: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the healthy errors at the scale of this state: most layers are not injured."""
    return np.asarray(healthy_L + np.median(log_L - healthy_L))


def _of_neighbours(log_L: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of the nearest layers on both sides of each, itself left out."""
    expected = []
    for layer in range(len(log_L)):
        near = np.delete(log_L, layer)
        begin = min(max(0, layer - _NUM_NEIGHBOURS), max(0, len(near) - 2 * _NUM_NEIGHBOURS))
        expected.append(np.median(near[begin : begin + 2 * _NUM_NEIGHBOURS]) if len(near) else log_L[layer])
    return np.array(expected)


def _over(excess: float, spread: float) -> float:
    if spread > 0:
        return excess / spread
    return np.inf if excess > 0 else 0.0
