"""In which order units of inputs can go when those that stay take over, and what each costs. Pure functions.

Shapes: F out_features, D in_features, G units of W adjacent inputs each (D = G W), K inputs that stay, R that go.

Theory of operation. Taking unit g out of a linear and refitting the rest by least squares raises the squared output
error by the trace of W_g (P_gg)^-1 W_gᵀ, where P is the inverse of the damped Gram matrix of the inputs. The refit and
the inverse of the smaller Gram matrix are one block elimination step on W and P. So a greedy order needs no new
inverse: take the cheapest units, eliminate them, look again. The sum of the costs is the exact error of the final
refit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from birdbone.compress.gram import cholesky, damp, invert


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalOrder:
    """Units in the order in which they can go, and the error that has come together after each.

    Attributes:
        units_R: indices of units; those that never go are not there.
        errors_R: squared output error a token after units up to here are gone, as a share of the dense output's power;
            within a step the error of the step's end is spread evenly.
    """

    units_R: Int[Tensor, " R"]
    errors_R: Float[Tensor, " R"]


def removal_order(
    w_FD: Float[Tensor, "F D"],
    gram_DD: Float[Tensor, "D D"],
    *,
    num_removed: int,
    unit_width: int = 1,
    units_a_step: int = 16,
    damping: float = 0.01,
) -> RemovalOrder:
    """Return the first `num_removed` units that go, cheapest first.

    Args:
        w_FD: the linear that reads the units. Not changed.
        gram_DD: mean of x xᵀ over tokens, not centred. Not changed.
        num_removed: R, below G.
        unit_width: W.
        units_a_step: how many go before all are weighed again; 1 is greedy in full.
        damping: share of the mean of the diagonal added to it.

    Raises:
        SingularGramError: the damped matrix is not positive definite.
    Source: Kurtic et al. 2023 (ZipLM), arXiv:2302.04089, eq. 2-4. Differs: several units a step, costs as shares.
    """
    w_FD = w_FD.detach().float().clone()
    precision_DD = invert(damp(gram_DD.double(), damping), damping=damping).float()
    power = float(((w_FD @ gram_DD.float()) * w_FD).sum().clamp_min(1e-30))
    alive_G = torch.ones(len(gram_DD) // unit_width, dtype=torch.bool)
    units: list[int] = []
    errors: list[float] = []
    while len(units) < num_removed:
        costs_G = _unit_costs(w_FD, precision_DD, unit_width).masked_fill(~alive_G, torch.inf)
        chosen = costs_G.argsort(stable=True)[: min(units_a_step, num_removed - len(units))].tolist()
        cost = _eliminate(w_FD, precision_DD, [g * unit_width + column for g in chosen for column in range(unit_width)])
        before = errors[-1] if errors else 0.0
        errors += [before + cost / power * (number + 1) / len(chosen) for number in range(len(chosen))]
        units += chosen
        alive_G[chosen] = False
    return RemovalOrder(units_R=torch.tensor(units, dtype=torch.long), errors_R=torch.tensor(errors))


def refit_columns(
    w_FD: Float[Tensor, "F D"], kept_K: Int[Tensor, " K"], gram_DD: Float[Tensor, "D D"], *, damping: float = 0.01
) -> Float[Tensor, "F K"]:
    """Return weights on the inputs that stay whose outputs are closest to those of the whole linear.

    Closed form of min over V of (V - W)(G + d)(V - W)ᵀ with V = 0 off the inputs that stay:
    V = W_K + W_R G_RK (G_KK + d)^-1, where d is the damping. Unlike conjugate gradients it is exact, and works on the
    small matrix.

    Args:
        w_FD: the linear. Not changed.
        kept_K: inputs that stay, ascending.
        gram_DD: mean of x xᵀ over tokens: not centred where the linear has no bias (its inputs' means are then a part
            of what is fitted), centred where `bias_correction` moves the means into the bias.
        damping: share of the mean of the diagonal added to it.

    Raises:
        SingularGramError: the damped matrix is not positive definite.
    """
    gone_R = _others(kept_K, len(gram_DD))
    w_FD, gram_DD = w_FD.detach().double(), gram_DD.double()
    factor_KK = cholesky(damp(gram_DD, damping)[kept_K][:, kept_K], damping=damping)
    taken_FK = w_FD[:, gone_R] @ gram_DD[gone_R][:, kept_K]
    return (w_FD[:, kept_K] + torch.cholesky_solve(taken_FK.T, factor_KK).T).float()


def bias_correction(
    w_FD: Float[Tensor, "F D"], v_FK: Float[Tensor, "F K"], kept_K: Int[Tensor, " K"], mean_D: Float[Tensor, " D"]
) -> Float[Tensor, " F"]:
    """Return what the bias must gain so that the mean output stays: W m - V m_K.

    Source: An et al. 2023 (FLAP), arXiv:2312.11983, eq. 6. Differs: after a refit, whose own mean is taken off.
    """
    return (w_FD.double() @ mean_D.double() - v_FK.double() @ mean_D.double()[kept_K]).float()


def _unit_costs(w_FD: Tensor, precision_DD: Tensor, unit_width: int) -> Tensor:
    if unit_width == 1:
        return w_FD.square().sum(dim=0) / precision_DD.diagonal().clamp_min(1e-30)
    count = len(precision_DD) // unit_width
    own_GWW = precision_DD.reshape(count, unit_width, count, unit_width).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    w_GFW = w_FD.reshape(len(w_FD), count, unit_width).permute(1, 0, 2)
    # A unit that is gone has a zero block; the identity stands in, its cost is not looked at.
    is_gone_G = own_GWW.diagonal(dim1=1, dim2=2).sum(dim=1) <= 0
    own_GWW = torch.where(is_gone_G[:, None, None], torch.eye(unit_width), own_GWW)
    costs_G: Tensor = (torch.linalg.solve(own_GWW, w_GFW.transpose(1, 2)) * w_GFW.transpose(1, 2)).sum(dim=(1, 2))
    return costs_G


def _eliminate(w_FD: Tensor, precision_DD: Tensor, columns: list[int]) -> float:
    """Take columns out of W and P in place, and return the squared error that it adds."""
    own_RR = precision_DD[columns][:, columns]
    rows_RD = precision_DD[columns]
    w_FR = w_FD[:, columns]
    solved_RF = torch.linalg.solve(own_RR, w_FR.T)
    cost = float((solved_RF.T * w_FR).sum())
    w_FD -= solved_RF.T @ rows_RD
    precision_DD -= rows_RD.T @ torch.linalg.solve(own_RR, rows_RD)
    w_FD[:, columns] = 0.0
    precision_DD[columns, :] = 0.0
    precision_DD[:, columns] = 0.0
    return cost


def _others(kept_K: Tensor, width: int) -> Tensor:
    is_gone_D = torch.ones(width, dtype=torch.bool)
    is_gone_D[kept_K] = False
    return is_gone_D.nonzero().flatten()
