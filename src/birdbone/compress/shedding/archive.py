"""A cut as plain tensors and plain data, for whoever keeps it: what undoing it needs, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from birdbone.compress.errors import BadArchiveError
from birdbone.compress.growth.dependency import build_dependency_graph
from birdbone.compress.growth.removal import rest_of_layers
from birdbone.compress.growth.structures import parse_structure
from birdbone.compress.shedding.cutting import Shed
from birdbone.models import describe_architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What is kept of a cut.

    Attributes:
        tensors: by name, as they were.
        data: names of the structures, the configuration before the cut, errors of the refit.
    """

    tensors: dict[str, Tensor]
    data: dict[str, Any]


def to_archive(shed: Shed) -> Archive:
    """Return a cut as plain tensors and data that JSON can hold."""
    data = {
        "structures": [structure.name for structure in shed.structures],
        "config": shed.config.to_dict(),
        "errors": list(shed.errors),
    }
    return Archive(tensors=dict(shed.tensors), data=data)


def from_archive(tensors: Mapping[str, Tensor], data: Mapping[str, Any]) -> Shed:
    """Return the cut that `to_archive` was given.

    Raises:
        BadArchiveError: something is missing, or does not fit together.
    """
    try:
        values = dict(data["config"])
        config = AutoConfig.for_model(values.pop("model_type"), **values)
        structures = tuple(parse_structure(name) for name in data["structures"])
        errors = tuple(float(error) for error in data["errors"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadArchiveError(f"What was kept of the cut cannot be read: {error!r}.") from error
    with torch.device("meta"):
        architecture = describe_architecture(AutoModelForCausalLM.from_config(config))
    graph = build_dependency_graph(architecture)
    missing = [name for name in tensors if graph.shapes.get(name) != tuple(tensors[name].shape)]
    if missing:
        raise BadArchiveError(f"{missing[0]} does not have the shape that the configuration gives it.")
    return Shed(
        structures=structures,
        rests=rest_of_layers(graph, structures),
        architecture=architecture,
        config=config,
        tensors=dict(tensors),
        errors=errors,
    )
