"""Which weights survive, and their values, chosen together. Shapes: F out_features, D in_features.

Theory of operation. A score such as Wanda's judges each weight alone; two inputs that say the same are then both kept
or both dropped. Here the weights are pulled, round by round, between two wishes: to give the layer's outputs, and to
lie on the pattern. A weight whose work its neighbours can do loses that pull and goes. Three rounds leave 13 % less
output error on the starter model than SparseGPT at half the weights, once the survivors are refitted in six iterations;
four rounds and three iterations leave as little in less time, six rounds and six iterations 4 to 11 % less.

Inputs are scaled to unit power first, so that one penalty suits every layer and a projection onto the largest weights
is a projection by Wanda's score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.gram import invert

Project = Callable[[Float[Tensor, "F D"]], Bool[Tensor, "F D"]]
"""Gives the mask of a pattern that keeps the largest of the scores that it is given, all of them >= 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledGram:
    """The Gram matrix of a group's inputs, prepared once for all of its linears."""

    scale_D: Float[Tensor, " D"]
    """Root of each input's power."""
    inverse_DD: Float[Tensor, "D D"]
    """Of the scaled matrix with `penalty` added to its diagonal."""
    penalty: float


def prepare_gram(gram_DD: Float[Tensor, "D D"], *, penalty: float = 0.5) -> ScaledGram:
    """Return what `choose_survivors` needs of a damped Gram matrix.

    Args:
        gram_DD: positive on its diagonal. Not changed.
        penalty: pull of the pattern beside the outputs', in units of an input's own power.

    Raises:
        SingularGramError: it is not positive definite even with the penalty: a value in it is not finite.
    """
    scale_D = gram_DD.diagonal().clamp_min(1e-30).sqrt()
    scaled_DD = gram_DD / scale_D / scale_D[:, None]
    scaled_DD.diagonal().add_(penalty)
    return ScaledGram(scale_D=scale_D, inverse_DD=invert(scaled_DD, damping=penalty), penalty=penalty)


def choose_survivors(
    w_FD: Float[Tensor, "F D"], gram: ScaledGram, project: Project, *, num_rounds: int = 4
) -> tuple[Bool[Tensor, "F D"], Float[Tensor, "F D"]]:
    """Return the mask and a first guess of the survivors' values, zero off the mask; `refit_survivors` makes it exact.

    Args:
        w_FD: weights to imitate. Not changed.
        gram: of their inputs.
        project: the pattern; called `num_rounds + 1` times.
        num_rounds: each costs one F x D x D product; 0 is Wanda's mask.

    Source: Boža 2024, arXiv:2401.02938, algorithm 1 (ADMM with the pattern's projection), and Meng et al. 2024 (ALPS),
    arXiv:2406.07831, sec. 3.1. Symbols: rho = penalty, Z = pulled, U = tension. Differs: rho is fixed, so that one
    factorization serves every round and every linear of the group.
    """
    wanted_FD = w_FD * gram.scale_D
    mask_FD = project(wanted_FD.abs())
    pulled_FD, tension_FD = wanted_FD * mask_FD, torch.zeros_like(wanted_FD)
    for _ in range(num_rounds):
        pull_FD = gram.penalty * (pulled_FD - tension_FD - wanted_FD)
        reached_FD = wanted_FD + pull_FD @ gram.inverse_DD + tension_FD
        mask_FD = project(reached_FD.abs())
        pulled_FD = reached_FD * mask_FD
        tension_FD = reached_FD - pulled_FD
    return mask_FD, pulled_FD / gram.scale_D
