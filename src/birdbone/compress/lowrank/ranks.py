"""Which rank a weight gets. Shapes: R singular values."""

from __future__ import annotations

from typing import assert_never

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.config import RankConfig
from birdbone.compress.errors import RankError


def choose_rank(
    values_R: Float[Tensor, " R"], shape: tuple[int, int], *, config: RankConfig, has_damage: bool = True
) -> int:
    """Return a rank between 1 and R.

    Args:
        values_R: singular values, falling.
        shape: outputs and inputs of the weight, for the bytes of its factors.
        has_damage: the values are seen through inputs and outputs, so half of their squares is an estimated damage.

    Raises:
        RankError: `loss` without damages, or fewer bytes than a rank of 1 takes.
    """
    match config.kind:
        case "energy":
            return rank_by_energy(values_R, energy=config.energy)
        case "loss":
            if not has_damage:
                raise RankError("A rank by loss needs factors of the kind `fisher`.", hint="Set `kind: fisher`.")
            return rank_by_damage(values_R, max_damage=config.max_damage)
        case "bytes":
            return rank_by_share(shape, share=config.byte_share)
        case _:
            assert_never(config.kind)


def rank_by_energy(values_R: Float[Tensor, " R"], *, energy: float) -> int:
    """Return the smallest rank whose squared singular values make up the share `energy` of all; 1 for a zero matrix."""
    kept_R = values_R.double().square().cumsum(0)
    return 1 + int((kept_R[:-1] < energy * kept_R[-1] * (1 - 1e-12)).sum())


def rank_by_damage(values_R: Float[Tensor, " R"], *, max_damage: float) -> int:
    """Return the smallest rank whose left-out singular values, squared and halved, sum to at most `max_damage` nats."""
    squares_R = values_R.double().square()
    left_out_R = squares_R.sum() - squares_R.cumsum(0)
    is_enough_R = 0.5 * left_out_R <= max_damage
    is_enough_R[-1] = True
    return 1 + int(torch.argmax(is_enough_R.int()))


def rank_by_share(shape: tuple[int, int], *, share: float) -> int:
    """Return the largest rank whose factors take at most a share of the dense weight's numbers.

    Raises:
        RankError: not even a rank of 1 does.
    """
    num_rows, num_columns = shape
    rank = int(share * num_rows * num_columns) // (num_rows + num_columns)
    if rank < 1:
        raise RankError(f"Factors of a {num_rows} x {num_columns} weight do not fit into {share:g} of its bytes.")
    return min(rank, num_rows, num_columns)
