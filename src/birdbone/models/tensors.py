"""Named tensors in a safetensors file, and token ids as a tensor, for callers that do not import torch themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to one safetensors file; the same tensors give the same bytes. Not flushed to the disk."""
    save_file({name: tensors[name].detach().contiguous() for name in sorted(tensors)}, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, in memory."""
    tensors: dict[str, Tensor] = load_file(path)
    return tensors


def as_token_ids(windows_NT: NDArray[np.int64]) -> Tensor:
    """Return token ids (N, T) as an int64 tensor that shares no memory with the array."""
    return torch.from_numpy(windows_NT.copy())
