"""The top or the bottom share of a linear's scores: where they stand and, in half precision, what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

ScoreEnd = Literal["top", "bottom"]
"""Which scores are kept."""

_PARTS = ("indices", "values", "scale", "shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseScores:
    """Some scores of one linear, in the order of their places. K scores are kept."""

    indices_K: Tensor
    """Places in the flattened matrix, rising; int32, or int64 where int32 is too small."""
    values_K: Tensor
    """Scores over `scale`, float16: within 0.05 % of the score, or 3e-8 of `scale` where that is more."""
    scale: float
    """The largest score that is kept; 1 where that is 0."""
    shape: tuple[int, int]

    def scores_K(self) -> Float[Tensor, " K"]:
        """Return the scores that are kept, float32."""
        return self.values_K.float() * self.scale


def keep_scores(scores_FD: Float[Tensor, "F D"], *, share: float, end: ScoreEnd = "top") -> SparseScores:
    """Return the `share` of the scores, rounded down but at least one, that are largest or smallest.

    Args:
        scores_FD: finite, zero at least, at most what float32 can hold. Not changed.
        share: above 0, at most 1.
    """
    flat = scores_FD.detach().float().flatten()
    count = max(1, int(share * flat.numel()))
    chosen = flat.topk(count, largest=end == "top", sorted=False).indices.sort().values
    scale = float(flat[chosen].max()) or 1.0
    width = torch.int32 if flat.numel() <= torch.iinfo(torch.int32).max else torch.int64
    rows, columns = scores_FD.shape
    return SparseScores(
        indices_K=chosen.to(width),
        values_K=(flat[chosen].double() / scale).half(),
        scale=scale,
        shape=(rows, columns),
    )


def sparse_to_tensors(scores: Mapping[str, SparseScores]) -> dict[str, Tensor]:
    """Return four tensors a name, ready to be saved: `<name>.indices`, `.values`, `.scale` and `.shape`."""
    return {
        f"{name}.{part}": tensor
        for name, kept in scores.items()
        for part, tensor in zip(_PARTS, _tensors(kept), strict=True)
    }


def sparse_from_tensors(tensors: Mapping[str, Tensor]) -> dict[str, SparseScores]:
    """Return what `sparse_to_tensors` was given."""
    names = [name.removesuffix(".shape") for name in tensors if name.endswith(".shape")]
    return {name: _from_tensors(*(tensors[f"{name}.{part}"] for part in _PARTS)) for name in names}


def _tensors(kept: SparseScores) -> tuple[Tensor, ...]:
    return kept.indices_K, kept.values_K, torch.tensor([kept.scale], dtype=torch.float64), torch.tensor(kept.shape)


def _from_tensors(indices_K: Tensor, values_K: Tensor, scale: Tensor, shape: Tensor) -> SparseScores:
    rows, columns = shape.tolist()
    return SparseScores(indices_K=indices_K, values_K=values_K, scale=float(scale), shape=(rows, columns))
