"""What may learn and what must stay zero. Shapes: F out_features, D in_features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedModel

from birdbone.compress.errors import NoZerosError
from birdbone.models import Architecture
from birdbone.train.loop import trainable

Masks = Mapping[str, Bool[Tensor, "F D"]]
"""By the linear's path, True where a weight survives; a linear without an entry is free."""

Masked = Sequence[tuple[Parameter, Tensor]]
"""Weights, each with its mask."""


def masks_of_zeros(model: PreTrainedModel, architecture: Architecture) -> dict[str, Bool[Tensor, "F D"]]:
    """Return the masks that the zeros of a model's linears stand for.

    Raises:
        NoZerosError: no linear has a zero.
    """
    masks = {path: model.get_parameter(f"{path}.weight").detach() != 0 for path in architecture.linear_paths}
    if all(bool(mask_FD.all()) for mask_FD in masks.values()):
        raise NoZerosError("None of the linears has a zero: there is no mask to keep.")
    return masks


def decoder_parameters(model: PreTrainedModel, architecture: Architecture) -> dict[str, Parameter]:
    """Return the parameters of all decoder layers and of the norm after them, by name; not embedding, not head."""
    paths = [layer.path for layer in architecture.layers]
    if architecture.final_norm is not None:
        paths.append(architecture.final_norm)
    return {
        f"{path}.{name}": parameter
        for path in paths
        for name, parameter in model.get_submodule(path).named_parameters()
    }


def masked_weights(model: PreTrainedModel, paths: Iterable[str], masks: Masks) -> Masked:
    """Return the weights of those of the linears that have a mask, each with it."""
    return [(model.get_parameter(f"{path}.weight"), masks[path]) for path in paths if path in masks]


@torch.no_grad()
def put_masks_on(masked: Masked) -> None:
    """Set every weight that its mask drops to zero."""
    for parameter, mask_FD in masked:
        parameter.mul_(mask_FD)


def num_held(masked: Masked) -> int:
    """Return how many weights the masks hold at zero."""
    return sum(int((~mask_FD).sum()) for _, mask_FD in masked)


def copies(parameters: Iterable[Parameter]) -> list[Tensor]:
    """Return copies of the values."""
    return [parameter.detach().clone() for parameter in parameters]


@torch.no_grad()
def put_back(parameters: Iterable[Parameter], values: Iterable[Tensor]) -> None:
    """Set the parameters to values that were copied before."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


@contextmanager
def only_learning(model: PreTrainedModel, parameters: Sequence[Parameter]) -> Iterator[None]:
    """Let these parameters of a model gather gradients, and no others; after it, all are as they were.

    The embedding above all: its gradient alone is as large as the embedding.
    """
    learners = {id(parameter) for parameter in parameters}
    others = [(each, each.requires_grad) for each in model.parameters() if id(each) not in learners]
    try:
        for each, _ in others:
            each.requires_grad_(False)
        with trainable(parameters):
            yield
    finally:
        for each, requires_grad in others:
            each.requires_grad_(requires_grad)
