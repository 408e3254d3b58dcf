"""Where scores stand: a linear, a block, a role, the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from birdbone.compress.importance.model_scores import LinearScores

Scope = Literal["linear", "block", "role", "model"]
"""How much of the model a place is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A part of the model; what does not tell it from others is None."""

    scope: Scope
    name: str
    """The linear's path, `block 3`, the role, or `model`."""
    layer: int | None = None
    role: str | None = None


def place_of(linear: LinearScores) -> Place:
    """Return the place of a linear."""
    return Place(scope="linear", name=linear.slot.path, layer=linear.layer, role=linear.slot.role)


def wider_places(linears: Sequence[Place]) -> dict[Place, tuple[Place, ...]]:
    """Return every block, every role and the model, each with its linears, in the order of the linears."""
    found: dict[Place, list[Place]] = {}
    for linear in linears:
        found.setdefault(Place(scope="block", name=f"block {linear.layer}", layer=linear.layer), []).append(linear)
    for linear in linears:
        found.setdefault(Place(scope="role", name=str(linear.role), role=linear.role), []).append(linear)
    found[Place(scope="model", name="model")] = list(linears)
    return {place: tuple(parts) for place, parts in found.items()}
