"""Figures taken on a GGUF file as loaded in llama.cpp."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from birdbone.core import Measurement
from birdbone.evaluate import size_measurements
from birdbone.models.gguf import GgufReport, StateTensor
from birdbone.models.llamacpp import file_nll
from birdbone.pipeline.context import StepContext


def nll_in_llamacpp(context: StepContext, path: Path, windows_NT: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the likelihood of every token but the first of each window in nats, by llama.cpp, shape (N, T - 1)."""
    progress = context.progress("held-out perplexity in llama.cpp")
    return file_nll(path, windows_NT, num_threads=num_threads(context), progress=progress)


def num_threads(context: StepContext) -> int:
    """Return the threads that the run was given when it started."""
    return context.recipe.num_threads or 1


def file_figures(report: GgufReport, *, artefact: str) -> tuple[Measurement, ...]:
    """Return size, bits a weight (of those that the file holds) and bytes read a token of a GGUF file as stored."""
    bytes_read = Measurement(
        name="bytes_per_token",
        value=float(report.bytes_read_per_token),
        unit="byte/token",
        basis="estimated",
        method="tensor bytes in the file's directory, each read once a token; no key-value cache",
        artefact=artefact,
    )
    return (
        *size_measurements(artefact=artefact, size_bytes=report.size_bytes, num_weights=report.num_weights),
        bytes_read,
    )


def stored_zeros(tensors: Mapping[str, StateTensor], linear_paths: Iterable[str], *, artefact: str) -> Measurement:
    """Return the share of the linears' weights that a file with these tensors stores as exactly zero."""
    num_zeros = num_weights = 0
    for path in linear_paths:
        tensor = tensors[f"{path}.weight"]
        weights_FD = tensor if isinstance(tensor, Tensor) else tensor.dequantize()
        num_zeros += int((weights_FD == 0).sum())
        num_weights += weights_FD.numel()
    return Measurement(
        name="stored_zeros",
        value=num_zeros / num_weights,
        unit="1",
        method="weights of the decoder's linears that the file stores as exactly zero, over all of them",
        artefact=artefact,
        sample_size=num_weights,
    )
