"""Factors of one sign, whose parts add up and never cancel. Shapes: F rows, D columns, R rank, I steps."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.errors import NegativeWeightError, RankError

_FLOOR = 1e-12


def factorise_nonnegative(
    v_FD: Float[Tensor, "F D"], *, rank: int, num_steps: int = 100
) -> tuple[Float[Tensor, "F R"], Float[Tensor, "R D"]]:
    """Return factors without a negative number whose product is near to a matrix without one.

    Args:
        v_FD: at least 0 everywhere. Not changed.
        num_steps: updates of both factors; none raises the squared error.

    Raises:
        NegativeWeightError: a number is negative.
        RankError: the rank is not between 1 and the smaller side.
    Source: Lee and Seung 2000, "Algorithms for non-negative matrix factorization", theorem 1; the start from the SVD is
    that of Boutsidis and Gallopoulos 2008 (NNDSVD), doi:10.1016/j.patcog.2007.09.010, so nothing is drawn at random.
    Symbols: W = left, H = right.
    """
    if float(v_FD.min()) < 0:
        raise NegativeWeightError(f"The least number is {float(v_FD.min()):.3g}; none may be negative.")
    if not 1 <= rank <= min(v_FD.shape):
        raise RankError(f"The rank is between 1 and {min(v_FD.shape)}; {rank} came.", rank=rank)
    v_FD = v_FD.double()
    left_FR, right_RD = _start(v_FD, rank)
    for _ in range(num_steps):
        right_RD = right_RD * (left_FR.T @ v_FD) / (left_FR.T @ left_FR @ right_RD).clamp_min(_FLOOR)
        left_FR = left_FR * (v_FD @ right_RD.T) / (left_FR @ (right_RD @ right_RD.T)).clamp_min(_FLOOR)
    return left_FR.float(), right_RD.float()


def split_signs(
    w_FD: Float[Tensor, "F D"], *, rank: int, num_steps: int = 100
) -> tuple[Float[Tensor, "F R"], Float[Tensor, "R D"]]:
    """Return factors of a matrix of both signs: those of its positive part beside those of its negative part.

    Each column of the left factor has one sign, so a part of the output is added or taken away as a whole. The ranks
    are shared by energy, one at least for a part that is there.

    Raises:
        RankError: the rank is under 2, or over twice the smaller side.
    """
    if not 2 <= rank <= 2 * min(w_FD.shape):
        raise RankError(f"Factors of both signs have a rank between 2 and {2 * min(w_FD.shape)}; {rank} came.")
    up_FD, down_FD = w_FD.clamp_min(0), (-w_FD).clamp_min(0)
    energy, most = up_FD.square().sum() / w_FD.square().sum().clamp_min(1e-30), min(w_FD.shape)
    num_up = min(max(round(float(energy) * rank), 1, rank - most), rank - 1, most)
    up_left, up_right = factorise_nonnegative(up_FD, rank=num_up, num_steps=num_steps)
    down_left, down_right = factorise_nonnegative(down_FD, rank=rank - num_up, num_steps=num_steps)
    return torch.cat((up_left, -down_left), dim=1), torch.cat((up_right, down_right))


def _start(v_FD: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the larger one-signed part of each singular pair; zeros become small, as they could never grow."""
    left_FR, values_R, right_RD = torch.linalg.svd(v_FD, full_matrices=False)
    lefts, rights = [], []
    for left_F, value, right_D in zip(left_FR.T[:rank], values_R[:rank], right_RD[:rank], strict=True):
        pairs = [(sign * left_F).clamp_min(0) for sign in (1, -1)], [(sign * right_D).clamp_min(0) for sign in (1, -1)]
        sizes = [float(left.norm() * right.norm()) for left, right in zip(*pairs, strict=True)]
        best = sizes.index(max(sizes))
        root = (value * max(sizes[best], _FLOOR)).sqrt()
        lefts.append(root * pairs[0][best] / pairs[0][best].norm().clamp_min(_FLOOR))
        rights.append(root * pairs[1][best] / pairs[1][best].norm().clamp_min(_FLOOR))
    floor = (v_FD.mean() * 1e-2).clamp_min(_FLOOR)
    return torch.stack(lefts, dim=1).clamp_min(floor), torch.stack(rights).clamp_min(floor)
