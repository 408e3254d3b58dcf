"""The text that a command of `compress` sees a model on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from birdbone.data import load_texts, token_windows
from birdbone.models import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Which text is read, and how many windows of how many tokens of it."""

    source: str
    num_windows: int
    window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSample(Sample):
    """A sample, and how many windows of the held-out text a model is judged on."""

    num_judged: int


def windows_of(
    loaded: LoadedModel, sample: Sample, *, heldout: int = 0
) -> tuple[Int[Tensor, "N T"], Int[Tensor, "M T"] | None]:
    """Return windows of the calibration text, and `heldout` ones of the held-out text if any are wanted.

    Raises:
        DataError: the text cannot be read, or is too short.
    """
    corpus = load_texts(sample.source)
    ids_NT = token_windows(corpus.calibration, loaded.encode, window=sample.window, count=sample.num_windows)
    if not heldout:
        return torch.from_numpy(ids_NT), None
    judged_MT = token_windows(corpus.heldout, loaded.encode, window=sample.window, count=heldout)
    return torch.from_numpy(ids_NT), torch.from_numpy(judged_MT)
