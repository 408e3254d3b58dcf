"""Magnitude: a weight matters as much as it is large. The plain rule that every other metric has to beat."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def magnitude_scores(w_FD: Float[Tensor, "F D"]) -> Float[Tensor, "F D"]:
    """Return |w|.

    Source: Han et al. 2015, arXiv:1506.02626, sec. 3.
    """
    return w_FD.abs()
