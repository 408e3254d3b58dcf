"""How long decoding a token takes: fitted to timed files, predicted for files that do not exist. Free of torch.

Theory of operation. Decoding reads every weight once and multiplies it once. The time of a token is a fixed part, a
part for each layer (calls, norms, barriers), the arithmetic of attention over what stands before, all bytes over one
bandwidth, and for each type of tensor its FLOPs over the rate at which this machine unpacks and multiplies that type.
None of these can be negative, and a type that few files hold is held near the mean of all types. All times are relative
to a reference file that is timed in turns with each other file, so that what else the machine does falls on both.
Source: the two roofs of Williams, Waterman & Patterson 2009 ("Roofline"). Differs: the parts are added, not the larger
one taken (a core waits for memory before it multiplies), and each type has a rate of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from birdbone.compress.errors import TooFewProbesError
from birdbone.compress.plan.fitting import Floats, LeaveOneOut, fit_nonnegative
from birdbone.compress.plan.layout import Layout
from birdbone.models.architecture import Architecture
from birdbone.models.gguf import GgufType, layer_of, size_bytes

_FIXED, _LAYERS, _ATTENTION, _BYTES = "fixed", "layers", "attention", "bytes"
_LEAST_PROBES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFeatures:
    """What of a file decides its time: its layers, their heads, and the bytes of each type that a token reads."""

    num_layers: int
    attention_flops: float
    bytes_by_type: Mapping[str, int]

    @property
    def bytes_read(self) -> int:
        """Bytes that decoding one token reads; no cache of keys and values."""
        return sum(self.bytes_by_type.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedFile:
    """A file that was timed.

    Attributes:
        ratio: seconds a token over those of the reference, the median over pairs of turns.
        ratio_low, ratio_high: 95 % interval of that median.
        reference_seconds: a token of the reference, the median of the same turns.
    """

    name: str
    features: FileFeatures
    ratio: float
    ratio_low: float
    ratio_high: float
    reference_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyModel:
    """Seconds a token by what a file is made of, in the units of the reference; see `fit_latency`."""

    coefficients: Mapping[str, float]
    reference_seconds: float
    """A token of the reference, in the median over all probes."""
    errors: LeaveOneOut
    """Relative."""

    def ratio(self, features: FileFeatures) -> float:
        """Return the predicted time of a token over that of the reference."""
        row = _row(features)
        return sum(value * row.get(name, 0.0) for name, value in self.coefficients.items())

    def seconds(self, features: FileFeatures) -> float:
        """Return the predicted seconds a token."""
        return self.reference_seconds * self.ratio(features)

    def rates(self) -> dict[str, float]:
        """Return the weights a second of each type that was timed, as this machine decodes it."""
        found: dict[str, float] = {}
        for name, flops_cost in self.coefficients.items():
            if name in GgufType.__members__:
                bytes_cost = GgufType[name].bits_per_weight / 8 * self.coefficients.get(_BYTES, 0.0)
                cost = self.reference_seconds * (bytes_cost + 2 * flops_cost)
                found |= {name: 1 / cost} if cost > 0 else {}
        return found


def file_features(
    layout: Layout, architecture: Architecture, ends: frozenset[str], *, mean_context: int
) -> FileFeatures:
    """Return what of a layout decides its time, with `mean_context` tokens before the one that is decoded."""
    looked_up = set() if architecture.is_embedding_tied else {f"{architecture.embedding}.weight"}
    read: dict[str, int] = {}
    for name, shape in layout.shapes.items():
        if len(shape) < 2 or name in looked_up:
            continue
        kind = layout.type_of(name, ends)
        read[kind.name] = read.get(kind.name, 0) + size_bytes(kind, num_weights=prod(shape))
    query_rows = sum(
        layout.shapes[f"{slot.path}.weight"][1]
        for layer in architecture.layers
        for slot in layer.attention
        if slot.role == "o" and f"{slot.path}.weight" in layout.shapes
    )
    layers = {layer for name in layout.shapes if (layer := layer_of(name)) is not None}
    return FileFeatures(
        num_layers=len(layers),
        attention_flops=4.0 * mean_context * query_rows,
        bytes_by_type=dict(sorted(read.items())),
    )


def fit_latency(probes: Sequence[TimedFile]) -> LatencyModel:
    """Return the model of least squared relative error, with its error on each file that was left out of the fit.

    Raises:
        TooFewProbesError: fewer than three files were timed.
    """
    if len(probes) < _LEAST_PROBES:
        raise TooFewProbesError(f"{len(probes)} timed files; a fit and its error need {_LEAST_PROBES}.")
    names = list(dict.fromkeys(name for probe in probes for name in _row(probe.features)))
    rows_PK = np.array([[_row(probe.features).get(name, 0.0) for name in names] for probe in probes])
    ratios_P = np.array([probe.ratio for probe in probes])

    def error_at(place: int) -> float:
        others = [other for other in range(len(probes)) if other != place]
        return float(rows_PK[place] @ _fit(names, rows_PK[others], ratios_P[others]) / ratios_P[place] - 1)

    found_K = _fit(names, rows_PK, ratios_P)
    return LatencyModel(
        coefficients={name: float(value) for name, value in zip(names, found_K, strict=True)},
        reference_seconds=float(np.median([probe.reference_seconds for probe in probes])),
        errors=LeaveOneOut(errors=tuple(error_at(place) for place in range(len(probes)))),
    )


def _fit(names: Sequence[str], rows_PK: Floats, ratios_P: Floats) -> Floats:
    """Return coefficients: first with one rate of arithmetic for all types, then each type near that one."""
    is_type_K = np.array([name in GgufType.__members__ for name in names])
    shared_PK = np.column_stack([rows_PK[:, ~is_type_K], rows_PK[:, is_type_K].sum(axis=1)])
    shared_K = fit_nonnegative(shared_PK, ratios_P)
    held_K = np.where(is_type_K, shared_K[-1], 0.0)
    held_K[~is_type_K] = shared_K[:-1]
    return fit_nonnegative(rows_PK, ratios_P, held_K=held_K)


def _row(features: FileFeatures) -> dict[str, float]:
    own = {_FIXED: 1.0, _LAYERS: float(features.num_layers), _ATTENTION: features.attention_flops}
    own[_BYTES] = float(features.bytes_read)
    return own | {name: 16 * size / GgufType[name].bits_per_weight for name, size in features.bytes_by_type.items()}
