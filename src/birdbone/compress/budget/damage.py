"""What it costs, in loss, to take the next weight out of a linear. Shapes: F outputs, D inputs, K profile points."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.gram import damp, invert

NUM_POINTS = 200


def damage_profile(
    w_FD: Float[Tensor, "F D"],
    gram_DD: Float[Tensor, "D D"],
    sensitivity_F: Float[Tensor, " F"],
    *,
    damping: float = 0.01,
) -> Float[Tensor, " K"]:
    """Return the rise of the loss by one more weight of each row, at K sparsities from 0 to 1; it never falls.

    Weights go in the order of their saliency within the row, and each is made up for by the others.

    Args:
        w_FD: weights. Not changed.
        gram_DD: mean of x xᵀ over calibration tokens.
        sensitivity_F: of `output_sensitivity`.
        damping: share of the mean of the diagonal that is added to it.

    Raises:
        SingularGramError: the damped Gram matrix is not positive definite.
    Source: Hassibi & Stork 1992 (Optimal Brain Surgeon), eq. 5, with the Hessian of the loss as the product of K-FAC's
    factors, the output factor by its diagonal.
    """
    free_D = invert(damp(gram_DD, damping), damping=damping).diagonal()
    saliency_FD = 0.5 * w_FD.float().square() / free_D * sensitivity_F[:, None]
    mean_D = saliency_FD.sort(dim=1).values.mean(dim=0)
    points_K = ((torch.arange(NUM_POINTS) + 0.5) / NUM_POINTS * len(mean_D)).long()
    return mean_D[points_K]
