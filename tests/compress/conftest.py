"""The tiny model dense, the text it was not trained on as windows, and its statistics: made once, only read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from birdbone.compress.statistics import InputStatistics, collect_statistics
from birdbone.data import load_corpus, token_windows
from birdbone.evaluate.perplexity import token_nll
from birdbone.models import LoadedModel, load_model

NUM_TOKENS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """The dense tiny model with windows (N, T) of each split."""

    loaded: LoadedModel
    calibration_NT: Tensor
    healing_NT: Tensor
    heldout_NT: Tensor
    statistics: dict[str, InputStatistics]

    def perplexity(self, model: nn.Module) -> float:
        return float(np.exp(token_nll(model, self.heldout_NT.numpy(), batch_size=16).mean()))


@pytest.fixture(scope="session")
def dense(tiny_model_folder: Path) -> Dense:
    torch.set_num_threads(1)
    loaded, corpus = load_model(str(tiny_model_folder)), load_corpus()

    def windows(texts: tuple[str, ...], count: int) -> Tensor:
        return torch.from_numpy(token_windows(texts, loaded.encode, window=NUM_TOKENS, count=count))

    calibration_NT = windows(corpus.calibration, 16)
    return Dense(
        loaded=loaded,
        calibration_NT=calibration_NT,
        healing_NT=windows(corpus.healing, 16),
        heldout_NT=windows(corpus.heldout, 16),
        statistics=collect_statistics(loaded.model, loaded.architecture, calibration_NT),
    )


@pytest.fixture
def dense_stays(dense: Dense) -> object:
    """Fails the test that changed the shared model."""
    before = {name: tensor.clone() for name, tensor in dense.loaded.model.state_dict().items()}
    yield
    after = dense.loaded.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
