"""Which type each linear of a model gets: as a format names them, or by an allocation of bits.

Shapes: F out_features, D in_features, N windows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import AllocationConfig, QuantizeFormat, RoundingConfig, StoredType
from birdbone.compress.errors import BlockWidthError
from birdbone.compress.output_sensitivity import output_sensitivity
from birdbone.compress.quantize.allocation import Allocation, TypeOption, allocate
from birdbone.compress.quantize.descent import row_errors
from birdbone.compress.quantize.linear import quantize_linear
from birdbone.compress.quantize.sensitivity import (
    Calibration,
    calibrate,
    measure_damage,
    spread_evenly,
)
from birdbone.compress.statistics import InputStatistics
from birdbone.models import Architecture, LinearSlot
from birdbone.models.gguf import GgufType, size_bytes

_NUM_PROBED_ROWS = 128
_PLAIN = RoundingConfig(kind="importance")
"""What the damage of a type is estimated with: a better rounding lowers all of them alike, and takes minutes."""

Tell = Callable[[str, int, int], None]
"""Is told what is done, how much of it is, and how much there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedTypes:
    """What each linear could have, by its path, and how the estimates compare with what was measured."""

    options: Mapping[str, list[TypeOption]]
    calibration: Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenTypes:
    """The type of each linear, by its path; with an allocation, what it was chosen by."""

    types: Mapping[str, StoredType]
    allocation: Allocation | None = None
    calibration: Calibration | None = None


def choose_types(
    model: PreTrainedModel,
    architecture: Architecture,
    statistics: Mapping[str, InputStatistics],
    *,
    windows_NT: Int[Tensor, "N T"],
    wanted: QuantizeFormat,
    tell: Tell = lambda _what, _done, _total: None,
) -> ChosenTypes:
    """Return the type of every linear; with an allocation, the choice of least estimated damage within its bits.

    Args:
        model: the model that will be rounded. Not changed.
        statistics: of each linear's inputs, by its path.
        windows_NT: calibration tokens, of which the allocation takes the first few. Without one they are not read.

    Raises:
        BitsBudgetError: the smallest types take more than the target.
        BlockWidthError: none of the allocation's types divides the width of a linear.
    """
    slots = {slot.path: slot for layer in architecture.layers for slot in layer.linears}
    if wanted.allocation is None:
        return ChosenTypes(types={path: wanted.type_of(slot.role) for path, slot in slots.items()})
    config = wanted.allocation
    max_bytes = int(config.bits_per_weight * sum(slot.out_features * slot.in_features for slot in slots.values()) / 8)
    unknown = {
        path: _options(slot, dict.fromkeys(_allowed_types(slot, wanted, config), 0.0), factor=0.0)
        for path, slot in slots.items()
    }
    allocate(unknown, max_bytes=max_bytes)  # a target that cannot be met is refused before minutes are spent on it
    weighed = weigh_types(
        model, architecture, statistics, windows_NT=windows_NT, wanted=wanted, config=config, tell=tell
    )
    found = allocate(weighed.options, max_bytes=max_bytes)
    return ChosenTypes(types=found.types, allocation=found, calibration=weighed.calibration)


def weigh_types(
    model: PreTrainedModel,
    architecture: Architecture,
    statistics: Mapping[str, InputStatistics],
    *,
    windows_NT: Int[Tensor, "N T"],
    wanted: QuantizeFormat,
    config: AllocationConfig,
    tell: Tell = lambda _what, _done, _total: None,
) -> WeighedTypes:
    """Return what each type that each linear may have would cost, in bytes and in estimated damage.

    Args:
        model: the model that will be rounded. Not changed.
        statistics: of each linear's inputs, by its path.
        windows_NT: calibration tokens, of which the first few are taken.

    Raises:
        BlockWidthError: none of the types divides the width of a linear.
    """
    slots = {slot.path: slot for layer in architecture.layers for slot in layer.linears}
    allowed = {path: _allowed_types(slot, wanted, config) for path, slot in slots.items()}
    generator = torch.Generator().manual_seed(config.seed)
    windows_NT = windows_NT[: config.num_windows]
    sensitivity = output_sensitivity(
        model,
        architecture.linear_paths,
        windows_NT,
        generator=generator,
        progress=_part(tell, "sensitivity of outputs"),
    )
    estimates = dict(_estimate_all(model, slots, allowed, statistics, sensitivity, tell))
    calibration = _measure_some(
        model, architecture, statistics, estimates, windows_NT=windows_NT, config=config, tell=tell
    )
    factors = {path: calibration.factors.get(slot.role, 1.0) for path, slot in slots.items()}
    options = {path: _options(slot, estimates[path], factor=factors[path]) for path, slot in slots.items()}
    return WeighedTypes(options=options, calibration=calibration)


def estimate_type(
    w_FD: Float[Tensor, "F D"],
    statistics: InputStatistics,
    sensitivity_F: Float[Tensor, " F"],
    *,
    kind: StoredType,
) -> float:
    """Return the estimated KL divergence a token, in nats, that storing a linear as `kind` causes.

    A matrix of many rows is rounded on some of them, evenly apart: their error as a share of their power, both weighted
    by sensitivity, stands for all.
    """
    power = float((row_errors(w_FD, statistics.gram_DD) * sensitivity_F).sum())
    rows = slice(None, None, max(1, len(w_FD) // _NUM_PROBED_ROWS))
    probed_FD, weight_F = w_FD[rows], sensitivity_F[rows]
    error_FD = probed_FD - approximate(probed_FD, statistics, kind)
    error, probed_power = (
        float((row_errors(each_FD, statistics.gram_DD) * weight_F).sum()) for each_FD in (error_FD, probed_FD)
    )
    return 0.5 * power * error / probed_power if probed_power > 0 else 0.0


def approximate(w_FD: Float[Tensor, "F D"], statistics: InputStatistics, kind: StoredType) -> Float[Tensor, "F D"]:
    """Return what a weight is after plain importance-weighted rounding to a type."""
    if kind == "f16":
        return w_FD.half().float()
    return quantize_linear(w_FD, statistics, kind=GgufType[kind.upper()], mask_FD=None, config=_PLAIN).dequantize()


def stored_bytes(slot: LinearSlot, kind: StoredType) -> int:
    """Return the bytes of a linear's weight as a type."""
    return size_bytes(GgufType[kind.upper()], num_weights=slot.out_features * slot.in_features)


def _allowed_types(slot: LinearSlot, wanted: QuantizeFormat, config: AllocationConfig) -> tuple[StoredType, ...]:
    pinned = {str(role): kind for role, kind in wanted.by_role.items()}.get(slot.role)
    types = (pinned,) if pinned is not None else config.types
    fitting = tuple(
        kind for kind in types if kind == "f16" or slot.in_features % GgufType[kind.upper()].block_size == 0
    )
    if not fitting:
        raise BlockWidthError(
            f"None of the types {', '.join(types)} can hold {slot.path}, which is {slot.in_features} wide.",
            hint="Add `f16` to `allocation.types`.",
        )
    return fitting


def _estimate_all(
    model: PreTrainedModel,
    slots: Mapping[str, LinearSlot],
    allowed: Mapping[str, tuple[StoredType, ...]],
    statistics: Mapping[str, InputStatistics],
    sensitivity: Mapping[str, Tensor],
    tell: Tell,
) -> Iterator[tuple[str, dict[StoredType, float]]]:
    for number, path in enumerate(slots, start=1):
        w_FD = model.get_parameter(f"{path}.weight").detach().float()
        yield (
            path,
            {
                kind: estimate_type(w_FD, statistics[path], sensitivity[path], kind=kind)
                if len(allowed[path]) > 1
                else 0.0
                for kind in allowed[path]
            },
        )
        tell("estimates of damage", number, len(slots))


def _measure_some(
    model: PreTrainedModel,
    architecture: Architecture,
    statistics: Mapping[str, InputStatistics],
    estimates: Mapping[str, Mapping[StoredType, float]],
    *,
    windows_NT: Tensor,
    config: AllocationConfig,
    tell: Tell,
) -> Calibration:
    """Round a few linears of each role alone, to the type of most estimated damage, and measure what that does."""
    role_of = {slot.path: slot.role for layer in architecture.layers for slot in layer.linears}
    by_role: dict[str, list[str]] = {}
    for path, found in estimates.items():
        if max(found.values()) > 0:
            by_role.setdefault(role_of[path], []).append(path)
    probed = {
        path: max(estimates[path], key=estimates[path].__getitem__)
        for paths in by_role.values()
        for path in spread_evenly(paths, config.num_measured)
    }
    changes = {
        path: {path: approximate(model.get_parameter(f"{path}.weight").detach().float(), statistics[path], kind)}
        for path, kind in probed.items()
    }
    measured = (
        measure_damage(model, architecture, windows_NT, changes=changes, progress=_part(tell, "measured damage"))
        if changes
        else {}
    )
    expected = {path: estimates[path][kind] for path, kind in probed.items()}
    return calibrate(expected, measured, role_of=role_of)


def _options(slot: LinearSlot, estimates: Mapping[StoredType, float], *, factor: float) -> list[TypeOption]:
    return [
        TypeOption(type=kind, size_bytes=stored_bytes(slot, kind), damage=factor * damage)
        for kind, damage in estimates.items()
    ]


def _part(tell: Tell, what: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(what, done, total)
