"""How damage done in one layer arrives at the others. Shapes: L layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What becomes of one layer's damage on its way up."""

    layer: int
    gain_at_end: float
    """Error at the last layer over the error where it arose; NaN for a layer without damage."""
    peak_layer: int
    """Layer at which it is largest."""
    gain_at_peak: float
    """Error there over the error where it arose."""


def gain_map(arrival_LL: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the error at each later layer over the error where it arose; 0 below, NaN in rows without damage.

    Args:
        arrival_LL: as `patch_layers` gives it: rows are where damage arises, columns where it arrives.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        gains_LL = arrival_LL / np.diagonal(arrival_LL)[:, None]
    gains_LL[np.diagonal(arrival_LL) == 0] = np.nan
    return np.asarray(gains_LL)


def spreads(arrival_LL: NDArray[np.float64]) -> tuple[Spread, ...]:
    """Return what becomes of each layer's damage."""
    found = []
    for layer, gains in enumerate(gain_map(arrival_LL)):
        peak = layer if np.isnan(gains).all() else int(np.nanargmax(gains))
        found.append(
            Spread(layer=layer, gain_at_end=float(gains[-1]), peak_layer=peak, gain_at_peak=float(gains[peak]))
        )
    return tuple(found)
