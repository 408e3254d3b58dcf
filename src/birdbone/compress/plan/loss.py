"""How many nats a token a plan adds: fitted to a few plans that were carried out, predicted for all others. No torch.

Theory of operation. The survey says what each step of a cut costs alone, and what each type does to each linear. Sums
of these are in the right order and of the wrong size: steps make up for each other where the rest is refitted, and hurt
each other where much goes. So each kind of cut has a factor and a power of its own, bits have a factor, each type of
the embedding a rise, healing a share that it leaves; cuts of two kinds, and cuts with bits, may hurt each other more
than both alone. A few plans are carried out and measured, and these numbers are fitted to them. They are held loosely
near what would be true if nothing interacted, so that what was hardly measured stays there.

Symbols: C the rise by cuts, B by bits. C = h (sum of c_k = a_k m_k (d_k / m_k)^p_k, and x c_j c_k for each pair), where
m_k is the middle damage of the kind among the probes, and the rise is C + B + y C B.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares  # type: ignore[import-untyped]

from birdbone.compress.config import BlockType, CutKind
from birdbone.compress.errors import TooFewProbesError
from birdbone.compress.plan.fitting import LeaveOneOut
from birdbone.compress.plan.layout import Layout

FLOOR_NATS = 0.01
"""Added to a rise before errors are taken as shares of it: a rise of nothing has no relative error."""

_HELD = 0.03
_LEAST_DAMAGE = 1e-6
_LEAST_PROBES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LossFeatures:
    """What of a plan decides its loss; see `layout.Layout`."""

    cut_damages: Mapping[CutKind, float]
    bit_damage: float
    embedding: BlockType
    is_healed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPlan:
    """A plan that was carried out, and the rise of the loss that was measured, in nats a token."""

    name: str
    features: LossFeatures
    rise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A prediction with where about 95 of 100 would lie."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LossModel:
    """Rise of the loss by what a plan does; see `fit_loss`."""

    coefficients: Mapping[str, float]
    errors: LeaveOneOut
    """Predicted less measured, as a share of the measured rise plus `FLOOR_NATS`."""
    perplexity_errors: LeaveOneOut
    """Predicted perplexity over the measured one, less 1."""

    def rise(self, features: LossFeatures) -> float:
        """Return the predicted rise of the loss in nats a token."""
        return _rise(features, self.coefficients)

    def interval(self, features: LossFeatures) -> Interval:
        """Return the predicted rise with an interval by the errors on plans that were left out of the fit."""
        value = self.rise(features)
        reach = self.errors.spread * (FLOOR_NATS + max(0.0, value))
        return Interval(value=value, low=value - reach, high=value + reach)


def loss_features(layout: Layout) -> LossFeatures:
    """Return what of a layout decides its loss."""
    return LossFeatures(
        cut_damages=layout.cut_damages,
        bit_damage=layout.bit_damage,
        embedding=layout.embedding,
        is_healed=layout.is_healed,
    )


def fit_loss(probes: Sequence[JudgedPlan]) -> LossModel:
    """Return the model of least relative error, with its error on each plan that was left out of the fit.

    Raises:
        TooFewProbesError: fewer than three plans were measured.
    """
    if len(probes) < _LEAST_PROBES:
        raise TooFewProbesError(f"{len(probes)} measured plans; a fit and its error need {_LEAST_PROBES}.")

    left_out = [_fit([*probes[:place], *probes[place + 1 :]]) for place in range(len(probes))]
    pairs = [(_rise(probe.features, found), probe.rise) for probe, found in zip(probes, left_out, strict=True)]
    return LossModel(
        coefficients=_fit(probes),
        errors=LeaveOneOut(errors=tuple(_share_off(*pair) for pair in pairs)),
        perplexity_errors=LeaveOneOut(errors=tuple(math.expm1(predicted - measured) for predicted, measured in pairs)),
    )


def _share_off(predicted: float, measured: float) -> float:
    return (predicted - measured) / (FLOOR_NATS + max(0.0, measured))


def _rise(features: LossFeatures, coefficients: Mapping[str, float]) -> float:
    cuts = [_rise_by_cut(kind, damage, coefficients) for kind, damage in features.cut_damages.items()]
    rise_by_cuts = sum(cuts) + coefficients.get("cuts", 0.0) * sum(a * b for a, b in combinations(cuts, 2))
    if features.is_healed:
        rise_by_cuts *= coefficients.get("healed", 1.0)
    rise_by_bits = coefficients.get("bits", 1.0) * features.bit_damage
    rise_by_bits += coefficients.get(f"embedding.{features.embedding}", 0.0)
    return rise_by_cuts + rise_by_bits + coefficients.get("cuts_and_bits", 0.0) * rise_by_cuts * rise_by_bits


def _rise_by_cut(kind: CutKind, damage: float, coefficients: Mapping[str, float]) -> float:
    middle = coefficients.get(f"{kind}.middle", 1.0)
    power = coefficients.get(f"{kind}.power", 1.0)
    return coefficients.get(f"{kind}.factor", 1.0) * middle * float((max(0.0, damage) / middle) ** power)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unknown:
    """A coefficient that is fitted: what it is held near, how loosely, and its bounds."""

    held: float
    scale: float
    low: float = 0.0
    high: float = math.inf


def _fit(probes: Sequence[JudgedPlan]) -> dict[str, float]:
    middles, unknowns = _middles(probes), _unknowns(probes)
    names, held_K = list(unknowns), np.array([each.held for each in unknowns.values()])
    scales_K = np.array([each.scale for each in unknowns.values()])

    def residuals(values_K: NDArray[np.float64]) -> NDArray[np.float64]:
        chosen = middles | dict(zip(names, values_K.tolist(), strict=True))
        off = [_share_off(_rise(probe.features, chosen), probe.rise) for probe in probes]
        return np.concatenate([np.array(off), _HELD * (values_K - held_K) / scales_K])

    bounds = ([each.low for each in unknowns.values()], [each.high for each in unknowns.values()])
    found = least_squares(residuals, held_K, bounds=bounds, x_scale=scales_K)
    return middles | {name: float(value) for name, value in zip(names, found.x, strict=True)}


def _middles(probes: Sequence[JudgedPlan]) -> dict[str, float]:
    damages: dict[CutKind, list[float]] = {}
    for probe in probes:
        for kind, damage in probe.features.cut_damages.items():
            damages.setdefault(kind, []).append(damage)
    return {f"{kind}.middle": max(_LEAST_DAMAGE, float(np.median(found))) for kind, found in damages.items()}


def _unknowns(probes: Sequence[JudgedPlan]) -> dict[str, _Unknown]:
    """Return each coefficient that the probes touch, held near what it would be if nothing interacted."""
    kinds = dict.fromkeys(kind for probe in probes for kind in probe.features.cut_damages)
    embeddings = dict.fromkeys(probe.features.embedding for probe in probes if probe.features.embedding != "f16")
    found = {f"{kind}.factor": _Unknown(held=1.0, scale=3.0) for kind in kinds}
    found |= {f"{kind}.power": _Unknown(held=1.0, scale=0.5, low=0.3, high=3.0) for kind in kinds}
    found |= {f"embedding.{kind}": _Unknown(held=0.0, scale=0.05) for kind in embeddings}
    found["bits"] = _Unknown(held=1.0, scale=1.0)
    if any(probe.features.is_healed for probe in probes):
        found["healed"] = _Unknown(held=1.0, scale=0.5)
    return found | {"cuts": _Unknown(held=0.0, scale=2.0), "cuts_and_bits": _Unknown(held=0.0, scale=2.0)}
