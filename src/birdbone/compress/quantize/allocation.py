"""Which type each tensor gets under a budget of bytes: an exact knapsack with one option a tensor. No torch.

Theory of operation. Damages add up, bytes add up, and each tensor takes one option: dynamic programming over the bytes
above the least possible gives the best choice, not a rounded relaxation of it. Sizes share a large common divisor (a
tensor has thousands of blocks), so the table is short; where it would not be, extra bytes are counted in coarser units,
rounded up: the budget still holds, and the best choice may be missed by less than one unit a tensor. The unit depends
on the options only, never on the budget, so a larger budget never gives a worse choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdbone.compress.config import StoredType
from birdbone.compress.errors import BitsBudgetError

_MAX_UNITS = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeOption:
    """One type that a tensor could have: its bytes, and the rise of the loss that it is held to cause, at least 0."""

    type: StoredType
    size_bytes: int
    damage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A type for each tensor, by name, with the bytes and the damage of all together."""

    types: Mapping[str, StoredType]
    size_bytes: int
    damage: float


def allocate(options: Mapping[str, Sequence[TypeOption]], *, max_bytes: int) -> Allocation:
    """Return the choice of least total damage whose bytes are at most `max_bytes`; of equals, one of fewest bytes.

    Args:
        options: what each tensor could have, one option at least; damages finite.
        max_bytes: of all tensors together.

    Raises:
        BitsBudgetError: even the smallest types take more (says how much).
    """
    ranked = {
        name: sorted(each, key=lambda option: (option.size_bytes, option.damage)) for name, each in options.items()
    }
    least = sum(each[0].size_bytes for each in ranked.values())
    if least > max_bytes:
        raise BitsBudgetError(
            f"The smallest types take {least} bytes together; the target allows {max_bytes}.",
            needed_bytes=least,
            max_bytes=max_bytes,
        )
    unit = _unit(ranked)
    chosen = _fill(list(ranked.values()), unit=unit, num_units=(max_bytes - least) // unit)
    picked = {name: ranked[name][index] for name, index in zip(ranked, chosen, strict=True)}
    return Allocation(
        types={name: option.type for name, option in picked.items()},
        size_bytes=sum(option.size_bytes for option in picked.values()),
        damage=math.fsum(option.damage for option in picked.values()),
    )


def _unit(ranked: Mapping[str, Sequence[TypeOption]]) -> int:
    """Return the bytes of a step: the common divisor of what options cost above the least, or a multiple of it."""
    extras = [option.size_bytes - each[0].size_bytes for each in ranked.values() for option in each]
    divisor = math.gcd(*extras) or 1
    most = sum(each[-1].size_bytes - each[0].size_bytes for each in ranked.values())
    return divisor * max(1, math.ceil(most / divisor / _MAX_UNITS))


def _fill(ranked: Sequence[Sequence[TypeOption]], *, unit: int, num_units: int) -> list[int]:
    """Return the index of each tensor's option."""
    most = sum(_cost(each, each[-1], unit) for each in ranked)
    num_units = min(num_units, most)
    best_U = np.zeros(num_units + 1)
    choices = []
    for each in ranked:
        best_U, choice_U = _add_tensor(best_U, each, unit)
        choices.append(choice_U)
    left, picked = int(np.argmin(best_U)), []
    for each, choice_U in zip(reversed(ranked), reversed(choices), strict=True):
        index = int(choice_U[left])
        picked.append(index)
        left -= _cost(each, each[index], unit)
    return picked[::-1]


def _add_tensor(
    best_U: NDArray[np.float64], options: Sequence[TypeOption], unit: int
) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Return the least damage within each number of units once this tensor is added, and its option there."""
    total_U, choice_U = np.full_like(best_U, np.inf), np.zeros(len(best_U), dtype=np.int16)
    for index, option in enumerate(options):
        cost = _cost(options, option, unit)
        if cost >= len(best_U):
            continue
        with_it_U = best_U[: len(best_U) - cost] + option.damage
        is_better_U = with_it_U < total_U[cost:]
        total_U[cost:][is_better_U], choice_U[cost:][is_better_U] = with_it_U[is_better_U], index
    return total_U, choice_U


def _cost(options: Sequence[TypeOption], option: TypeOption, unit: int) -> int:
    return math.ceil((option.size_bytes - options[0].size_bytes) / unit)
