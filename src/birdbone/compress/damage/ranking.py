"""Which layer was injured, among layers that were all changed. Shapes: L layers.

Theory of operation. After waves every layer has own damage, and some always have more: the first layers write loudly,
the last are written over. So layers are not compared with each other but with what is healthy for them: the own damage
of a state that is known to be good, such as that of an earlier wave. Later waves hurt all layers more by about the same
factor, so the median of all ratios is taken out, and what is left over is the excess. Where no healthy state is known,
a layer is compared with its neighbours.

Own damage asks what a layer does; a small injury of one matrix may hide in it. So what is known of each kind of matrix
(how far its weights went from the dense ones) may be brought as evidence beside it, and is reckoned in the same way:
each kind against itself. A layer is as suspect as its most suspect evidence, in robust standard deviations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NUM_NEIGHBOURS = 3
_FLOOR = 1e-14  # of a relative squared error in float32
_MIN_SPREAD = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEvidence:
    """One figure of every layer that grows with damage, and the same of a healthy state, if one is known."""

    name: str
    values_L: NDArray[np.float64]
    """What is not finite counts as infinite."""
    healthy_L: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedLayer:
    """A layer with how far its most suspect figure is beyond what is healthy for it."""

    layer: int
    evidence: str
    """Name of that figure."""
    excess: float
    """Natural log of the figure over what was to be expected; infinite if it is not finite."""
    deviations: float
    """The same in robust standard deviations of all layers' excesses."""


def rank_layers(*evidence: LayerEvidence) -> tuple[RankedLayer, ...]:
    """Return all layers, the likeliest to be injured first. At least one figure is needed.

    Args:
        evidence: own damage as `measure_drift` gives it, and what else is known, such as `weight_changes`.
    """
    excess_EL = np.stack([_excess(each) for each in evidence])
    deviations_EL = np.stack([excess_L / _spread(excess_L) for excess_L in excess_EL])
    worst_L = deviations_EL.argmax(axis=0)
    order = np.argsort(-deviations_EL.max(axis=0), kind="stable")
    return tuple(
        RankedLayer(
            layer=int(layer),
            evidence=evidence[worst_L[layer]].name,
            excess=float(excess_EL[worst_L[layer], layer]),
            deviations=float(deviations_EL[worst_L[layer], layer]),
        )
        for layer in order
    )


def _excess(evidence: LayerEvidence) -> NDArray[np.float64]:
    log_L = _log(evidence.values_L)
    if evidence.healthy_L is None:
        return np.asarray(log_L - _of_neighbours(log_L))
    return np.asarray(log_L - _scaled(log_L, _log(evidence.healthy_L)))


def _spread(excess_L: NDArray[np.float64]) -> float:
    """Return the robust standard deviation of excesses, held above what two healthy states differ by anyway."""
    finite_L = excess_L[np.isfinite(excess_L)]
    if not len(finite_L):
        return _MIN_SPREAD
    return max(_MIN_SPREAD, 1.4826 * float(np.median(np.abs(finite_L - np.median(finite_L)))))


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
