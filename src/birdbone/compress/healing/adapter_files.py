"""Masked adapters as one safetensors file: the factors, and what they are to be multiplied by.

The masks are not in it: they are the zeros of the weights that the adapters belong to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from birdbone.compress.errors import BadAdapterError
from birdbone.compress.healing.adapters import Placed
from birdbone.core import write_atomically

_LEFT, _RIGHT, _KEY = ".lora_b", ".lora_a", "birdbone.adapters"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAdapter:
    """The factors of one linear: its weight gains `mask * scale * left right`. Shapes: F outputs, D inputs, R rank."""

    left_FR: Tensor
    right_RD: Tensor
    scale: float


def write_adapters(path: Path, placed: Placed) -> Path:
    """Write the factors of all adapters atomically and return the path."""
    tensors = {}
    for name, adapter in placed.adapters.items():
        tensors[f"{name}{_LEFT}"] = adapter.left.detach().contiguous()
        tensors[f"{name}{_RIGHT}"] = adapter.right.detach().contiguous()
    scales = {name: adapter.scale for name, adapter in placed.adapters.items()}
    with write_atomically(path) as stream:
        stream.write(save(tensors, metadata={_KEY: json.dumps(scales, sort_keys=True)}))
    return path


def read_adapters(path: Path) -> Mapping[str, StoredAdapter]:
    """Return the adapters of a file by the path of their linear.

    Raises:
        BadAdapterError: `write_adapters` did not write it, or it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            scales = json.loads((stream.metadata() or {})[_KEY])
            return {
                name: StoredAdapter(
                    left_FR=stream.get_tensor(f"{name}{_LEFT}"),
                    right_RD=stream.get_tensor(f"{name}{_RIGHT}"),
                    scale=float(scale),
                )
                for name, scale in scales.items()
            }
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise BadAdapterError(f"{path} holds no masked adapters.") from error
