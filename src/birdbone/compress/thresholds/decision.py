"""What share each cluster sheds, and why: load moves shares apart, the target holds their sum. Shapes: G clusters.

Theory of operation. Of the clusters that are balanced together each sign of load is put into standard deviations; their
weighted sum is the cluster's *load*. Its share starts at `-spread * load` and all shares are lifted together until,
held within their bounds, they shed exactly the target. A cluster with more load never sheds a larger share. Shares set
by hand stay as they are; the others make up for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from birdbone.compress.config import HealthWeights, ThresholdConfig
from birdbone.compress.errors import TargetOutOfReachError, UnknownClusterError
from birdbone.compress.thresholds.health import ClusterHealth

Advice = Literal["protect", "thin less", "thin evenly", "thin more", "look whether it can go"]

_SIGNS = ("importance", "variance", "density", "shed_so_far", "damage")
_EVEN = 0.01
_NEARLY_ALL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What share of a cluster's survivors is shed.

    Attributes:
        load: weighted sum of its signs of load, in standard deviations.
        contributions: what each sign adds to the load.
        is_by_hand: whether it was set by a person.
        reasons: sentences for a person, the weightiest first.
    """

    name: str
    fraction: float
    load: float
    contributions: dict[str, float]
    is_by_hand: bool
    advice: Advice
    reasons: tuple[str, ...]


def decide_fractions(
    health: Sequence[ClusterHealth], config: ThresholdConfig, *, target: float
) -> tuple[Decision, ...]:
    """Return the share of each cluster; weighed by surviving weights they come to `target` in every balanced group.

    Clusters of one layer are balanced together, or all clusters, as `config.balance` says; clusters that run over all
    layers always are.

    Args:
        health: of the clusters of one kind of unit.
        target: share of all surviving weights of the clusters that is to be shed.

    Raises:
        TargetOutOfReachError: bounds and overrides leave no such shares (names the range that they leave).
        UnknownClusterError: an override of a cluster that there is not.
    """
    unknown = sorted(set(config.overrides) - {cluster.name for cluster in health})
    if unknown:
        raise UnknownClusterError(f"There is no cluster {unknown[0]} to set a share for.", cluster=unknown[0])
    found: dict[str, Decision] = {}
    for group in _groups(health, config):
        found |= {decision.name: decision for decision in _decide_group(group, config, target)}
    return tuple(found[cluster.name] for cluster in health)


def fill_to_target(
    start_G: NDArray[np.float64],
    weight_G: NDArray[np.float64],
    *,
    low_G: NDArray[np.float64],
    high_G: NDArray[np.float64],
    target: float,
) -> NDArray[np.float64]:
    """Return `clip(start + lift, low, high)` with the one lift at which the weighted mean is `target`.

    Args:
        start_G: shares before the lift, of any size; their differences are what counts.
        weight_G: surviving weights, not negative, not all zero.

    Raises:
        TargetOutOfReachError: the bounds' own weighted means lie on one side of the target.
    """
    share_G = weight_G / weight_G.sum()
    least, most = float(share_G @ low_G), float(share_G @ high_G)
    if not least - 1e-12 <= target <= most + 1e-12:
        message = f"The bounds leave {least:.4f} to {most:.4f} to be shed; {target:.4f} was asked for."
        raise TargetOutOfReachError(message, least=least, most=most, target=target)
    below, above = float((low_G - start_G).min()), float((high_G - start_G).max())
    for _ in range(200):
        lift = (below + above) / 2
        below, above = (lift, above) if share_G @ np.clip(start_G + lift, low_G, high_G) < target else (below, lift)
    return np.clip(start_G + above, low_G, high_G)


def _groups(health: Sequence[ClusterHealth], config: ThresholdConfig) -> list[list[ClusterHealth]]:
    groups: dict[int | None, list[ClusterHealth]] = {}
    for cluster in health:
        groups.setdefault(cluster.layer if config.balance == "layer" else None, []).append(cluster)
    return list(groups.values())


def _decide_group(group: Sequence[ClusterHealth], config: ThresholdConfig, target: float) -> list[Decision]:
    contributions = [_contributions(cluster, group, config.weights) for cluster in group]
    load_G = np.array([sum(signs.values()) for signs in contributions])
    set_G = [config.overrides.get(cluster.name) for cluster in group]
    fraction_G = fill_to_target(
        -config.spread * load_G,
        np.array([cluster.num_weights for cluster in group]),
        low_G=np.array([config.low if share is None else share for share in set_G]),
        high_G=np.array([config.high if share is None else share for share in set_G]),
        target=target,
    )
    return [
        Decision(
            name=cluster.name,
            fraction=float(fraction),
            load=float(load),
            contributions=signs,
            is_by_hand=share is not None,
            advice=_advice(float(fraction), config, target),
            reasons=_reasons(float(fraction), signs, config, target, is_by_hand=share is not None),
        )
        for cluster, fraction, load, signs, share in zip(group, fraction_G, load_G, contributions, set_G, strict=True)
    ]


def _contributions(cluster: ClusterHealth, group: Sequence[ClusterHealth], weights: HealthWeights) -> dict[str, float]:
    """Return what each sign adds to the load; a sign that was not measured of every cluster adds nothing."""
    found = {}
    for sign in _SIGNS:
        values = [getattr(other, sign) for other in group]
        if None not in values:
            spread = float(np.std(values))
            deviation = (getattr(cluster, sign) - float(np.mean(values))) / spread if spread > 1e-12 else 0.0
            found[sign] = getattr(weights, sign) * deviation
    return found


def _advice(fraction: float, config: ThresholdConfig, target: float) -> Advice:
    if fraction >= _NEARLY_ALL:
        return "look whether it can go"
    if fraction <= config.low + 1e-9 and fraction < target:
        return "protect"
    if abs(fraction - target) <= _EVEN:
        return "thin evenly"
    return "thin less" if fraction < target else "thin more"


def _reasons(
    fraction: float, signs: dict[str, float], config: ThresholdConfig, target: float, *, is_by_hand: bool
) -> tuple[str, ...]:
    if is_by_hand:
        return ("set by hand",)
    told = [
        _sign_words(name, value)
        for name, value in sorted(signs.items(), key=lambda item: -abs(item[1]))
        if abs(value) >= 0.05
    ]
    if abs(fraction - config.low) < 1e-9 < abs(fraction - target):
        told.append("held at the lower bound")
    if abs(fraction - config.high) < 1e-9 < abs(fraction - target):
        told.append("held at the upper bound")
    return tuple(told) or ("carries as much load as the others",)


def _sign_words(name: str, value: float) -> str:
    moves = "adds {:.2f} to" if value > 0 else "takes {:.2f} from"
    return f"{name.replace('_', ' ')} {moves.format(abs(value))} its load"
