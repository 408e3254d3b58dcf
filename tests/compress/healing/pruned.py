"""The tiny model without half of its weights, and what healing may not do to it."""

from __future__ import annotations

import math

import torch
from tests.compress.conftest import Dense
from torch import Tensor

from birdbone.compress.shedding import shed_lowest
from birdbone.compress.waves import Masks
from birdbone.models import LoadedModel


def thin_out(loaded: LoadedModel, *, fraction: float = 0.5) -> Masks:
    """Shed the smallest weights of every linear and leave the rest as they are."""
    masks = {}
    for path in loaded.architecture.linear_paths:
        weight_FD = loaded.model.get_parameter(f"{path}.weight")
        everything_FD = torch.ones_like(weight_FD, dtype=torch.bool)
        masks[path] = shed_lowest(weight_FD.detach().abs(), everything_FD, fraction=fraction)
        with torch.no_grad():
            weight_FD.mul_(masks[path])
    return masks


def won_back(dense: Dense, before: float, healed: LoadedModel) -> float:
    """Return the share of the lost log-perplexity that is back, from the perplexity before healing."""
    target = math.log(dense.perplexity(dense.loaded.model))
    return (math.log(before) - math.log(dense.perplexity(healed.model))) / (math.log(before) - target)


def state_of(loaded: LoadedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}


def changed_by(before: dict[str, Tensor], loaded: LoadedModel) -> set[str]:
    """Return the names of the tensors that differ from what they were; the names themselves must not have changed."""
    after = loaded.model.state_dict()
    assert after.keys() == before.keys()
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def assert_masks_hold(loaded: LoadedModel, masks: Masks) -> None:
    for path, mask_FD in masks.items():
        weight_FD = loaded.model.get_parameter(f"{path}.weight")
        assert bool((weight_FD[~mask_FD] == 0).all())
        assert bool((weight_FD[mask_FD] != 0).any())
