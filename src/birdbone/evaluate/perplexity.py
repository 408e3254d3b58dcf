"""Likelihood of text under a model. Shapes: N windows, T tokens, P = T - 1 predicted positions, V vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from birdbone.core import Measurement
from birdbone.evaluate.readout import LOGITS_BUDGET_BYTES, Readout, check_windows, find_readout
from birdbone.evaluate.statistics import MIN_WINDOWS, bootstrap_means, interval, window_means

Progress = Callable[[int, int], None]
"""Called with the number of windows done and the number of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perplexity:
    """Perplexity with everything that another person needs to repeat it."""

    value: float
    """exp of the mean negative log-likelihood a token."""
    low: float | None
    """Lower end of the 95 % interval over windows; absent under `statistics.MIN_WINDOWS` windows."""
    high: float | None
    """Upper end of it."""
    num_tokens: int
    """Predicted tokens."""
    num_windows: int
    """Windows."""
    context_length: int
    """Tokens a window: the last prediction of a window sees one token less."""
    stride: int
    """Tokens from the beginning of one window to that of the next."""

    def measurement(self, *, artefact: str, name: str = "perplexity") -> Measurement:
        """Return the perplexity as a measurement on `artefact`."""
        return Measurement(
            name=name,
            value=self.value,
            unit="1",
            method=f"{self.num_windows} windows of {self.context_length} tokens, stride {self.stride}",
            artefact=artefact,
            sample_size=self.num_tokens,
            low=self.low,
            high=self.high,
        )


def perplexity_of(nll_NP: NDArray[np.float64]) -> float:
    """Return the perplexity of N windows alone, without an interval.

    Raises:
        NonFiniteLogitsError: a value is NaN or infinite.
    """
    return float(np.exp(window_means(nll_NP).mean()))


def perplexity_from_nll(
    nll_NP: NDArray[np.float64],
    *,
    generator: np.random.Generator,
    num_resamples: int = 2000,
    stride: int | None = None,
) -> Perplexity:
    """Return the perplexity of N windows, with an interval by the bootstrap over windows.

    Args:
        nll_NP: negative log-likelihoods in nats, from `token_nll` or another engine.
        generator: source of the resampling.
        num_resamples: bootstrap resamples.
        stride: tokens between the beginnings of two windows; the window's length if left out.

    Raises:
        NonFiniteLogitsError: a value is NaN or infinite.
    """
    means_N = window_means(nll_NP)
    low = high = None
    if len(means_N) >= MIN_WINDOWS:
        ends = interval(bootstrap_means(means_N, generator=generator, num_resamples=num_resamples))
        low, high = float(np.exp(ends[0])), float(np.exp(ends[1]))
    return Perplexity(
        value=perplexity_of(nll_NP),
        low=low,
        high=high,
        num_tokens=nll_NP.size,
        num_windows=len(means_N),
        context_length=nll_NP.shape[1] + 1,
        stride=stride or nll_NP.shape[1] + 1,
    )


def token_nll(
    model: nn.Module,
    windows_NT: NDArray[np.int64],
    *,
    batch_size: int,
    progress: Progress | None = None,
    budget_bytes: int = LOGITS_BUDGET_BYTES,
) -> NDArray[np.float64]:
    """Return the negative log-likelihood in nats of every token but the first of each window, (N, T - 1).

    Logits are made a few positions at a time (see `readout`), in float32 whatever the model's dtype. The model is put
    into evaluation mode and back; its weights are not changed.

    Args:
        model: a causal language model of transformers, on any device.
        windows_NT: token ids.
        batch_size: windows that go through the backbone at once.
        progress: called after each batch.
        budget_bytes: bound on the memory of the logits.

    Raises:
        BadWindowsError: wrong shape, ids outside the vocabulary, or longer than the model's context.
        NonFiniteLogitsError: a likelihood is NaN or infinite (names the first window and token).
        UnknownReadoutError: the model's head cannot be run by parts.
    """
    nll_NP = np.empty((windows_NT.shape[0], max(0, windows_NT.shape[-1] - 1)), dtype=np.float64)
    with evaluation_mode(model):
        readout = find_readout(model)
        check_windows(windows_NT, readout)
        for begin in range(0, len(windows_NT), batch_size):
            batch = slice(begin, min(begin + batch_size, len(windows_NT)))
            nll_NP[batch] = _batch_nll(readout, windows_NT[batch], budget_bytes)
            window_means(nll_NP[: batch.stop])
            if progress is not None:
                progress(batch.stop, len(windows_NT))
    return nll_NP


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Turn dropout and the like off, and leave every module in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _batch_nll(readout: Readout, windows_BT: NDArray[np.int64], budget_bytes: int) -> NDArray[np.float64]:
    """Return (B, T - 1); the last token is only a target, so the backbone does not run on it."""
    ids_BT = readout.ids(windows_BT)
    hidden_CH = readout.hidden(ids_BT[:, :-1]).flatten(0, 1)
    targets = _with_ids(ids_BT[:, 1:].flatten(), readout.chunks(hidden_CH, budget_bytes=budget_bytes))
    nll_C = torch.cat(
        [logits_CV.logsumexp(-1) - logits_CV.gather(1, ids_C[:, None])[:, 0] for ids_C, logits_CV in targets]
    )
    return nll_C.double().cpu().numpy().reshape(len(windows_BT), -1)


def _with_ids(ids_C: Tensor, chunks: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each chunk of logits with the ids of its positions."""
    begin = 0
    for logits_CV in chunks:
        yield ids_C[begin : begin + len(logits_CV)], logits_CV
        begin += len(logits_CV)
