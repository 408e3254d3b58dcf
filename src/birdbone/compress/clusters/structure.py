"""Figures of the weights of units. Shapes: U units, D hidden size, K directions kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.clusters.units import UnitPart


def weight_vectors(model: PreTrainedModel, part: UnitPart, *, num_units: int) -> Float[Tensor, "U D"]:
    """Return one vector over the hidden size for each unit: what it reads of, or writes to, each channel.

    A neuron's is its row or column. A head has many rows; its vector is their root mean square, channel by channel.
    """
    weight_FD = model.get_parameter(f"{part.path}.weight").detach().float()
    entry_MD: Tensor = (weight_FD if part.axis == "rows" else weight_FD.T)[part.entry_M]
    if len(entry_MD) == num_units:
        return entry_MD
    power_UD: Tensor = entry_MD.reshape(num_units, -1, entry_MD.shape[1]).square().mean(dim=1)
    return power_UD.sqrt()


def norm_figures(model: PreTrainedModel, parts: Sequence[UnitPart], *, num_units: int) -> dict[str, Tensor]:
    """Return the logarithm of each unit's norm in every matrix over the layer's usual one, and cosines between them.

    Cosines are between the first matrix and each other one: a gate that points where its up does acts as one switch.
    """
    vectors = {part.role: weight_vectors(model, part, num_units=num_units).double() for part in parts}
    norms = {role: vector_UD.norm(dim=1) for role, vector_UD in vectors.items()}
    usual = {role: norm_U.square().mean().sqrt().clamp_min(1e-30) for role, norm_U in norms.items()}
    figures = {f"log norm {role}": (norm_U / usual[role] + 1e-6).log() for role, norm_U in norms.items()}
    first, *others = vectors
    for role in others:
        inner_U = (vectors[first] * vectors[role]).sum(dim=1)
        figures[f"cosine {first} {role}"] = inner_U / (norms[first] * norms[role]).clamp_min(1e-30)
    return figures


def project_directions(
    model: PreTrainedModel,
    parts: Sequence[UnitPart],
    *,
    num_units: int,
    projections: dict[str, Float[Tensor, "D K"]],
) -> dict[str, Float[Tensor, " U"]]:
    """Return the direction of each unit in every matrix, projected to K numbers that keep angles nearly as they are.

    Args:
        projections: by role, one for all layers, from `draw_projections`.
    Source: Johnson and Lindenstrauss 1984; a Gaussian matrix over sqrt(K).
    """
    figures = {}
    for part in parts:
        vector_UD = weight_vectors(model, part, num_units=num_units)
        unit_UD = vector_UD / vector_UD.norm(dim=1, keepdim=True).clamp_min(1e-30)
        for number, value_U in enumerate((unit_UD @ projections[part.role]).T):
            figures[f"{part.role} direction {number}"] = value_U.double()
    return figures


def draw_projections(
    parts: Sequence[UnitPart], *, hidden_size: int, num_directions: int, generator: torch.Generator
) -> dict[str, Float[Tensor, "D K"]]:
    """Return a projection for each role."""
    shape = (hidden_size, num_directions)
    return {part.role: torch.randn(shape, generator=generator) / num_directions**0.5 for part in parts}
