"""How far a candidate's predictions are from a reference's. Shapes: N windows, T tokens, C positions, V vocabulary.

Two logits sources are walked side by side in chunks, so neither side ever holds all logits of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from birdbone.core import Measurement
from birdbone.evaluate.errors import NonFiniteLogitsError, UnpairedError
from birdbone.evaluate.perplexity import Progress, evaluation_mode
from birdbone.evaluate.readout import LOGITS_BUDGET_BYTES, check_windows, find_readout
from birdbone.evaluate.statistics import MIN_WINDOWS, bootstrap_means, interval

LogitsSource = Callable[[NDArray[np.int64]], Iterable[Tensor]]
"""Takes the ids (T,) of one window and gives the logits of its positions, in order, in chunks (C, V) of any size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """KL divergence of a candidate from a reference, and how often both would pick the same token."""

    kl: float
    """Mean KL(reference || candidate) a position, in nats."""
    kl_low: float | None
    """Lower end of its 95 % interval over windows; absent under `statistics.MIN_WINDOWS` windows."""
    kl_high: float | None
    """Upper end of it."""
    kl_p99: float
    """99th percentile over positions, in nats: the worst one in a hundred."""
    same_top1: float
    """Share of positions where both have the same most likely token."""
    same_top1_low: float | None
    """Lower end of its 95 % interval over windows."""
    same_top1_high: float | None
    """Upper end of it."""
    num_positions: int
    """Positions compared."""
    num_windows: int
    """Windows."""

    def measurements(self, *, artefact: str) -> tuple[Measurement, ...]:
        """Return `kl_to_reference`, `kl_to_reference_p99` and `same_top1` as measurements on `artefact`."""
        method = f"against the reference's logits at every position of {self.num_windows} windows"

        def row(name: str, value: float, unit: str, low: float | None, high: float | None) -> Measurement:
            return Measurement(
                name=name,
                value=value,
                unit=unit,
                method=method,
                artefact=artefact,
                sample_size=self.num_positions,
                low=low,
                high=high,
            )

        return (
            row("kl_to_reference", self.kl, "nat", self.kl_low, self.kl_high),
            row("kl_to_reference_p99", self.kl_p99, "nat", None, None),
            row("same_top1", self.same_top1, "1", self.same_top1_low, self.same_top1_high),
        )


def model_logits(model: nn.Module, *, budget_bytes: int = LOGITS_BUDGET_BYTES) -> LogitsSource:
    """Return a logits source over a causal model of transformers.

    Raises:
        UnknownReadoutError: the model's head cannot be run by parts.
        BadWindowsError: (when asked for a window) its ids do not fit the model.
    """
    with evaluation_mode(model):
        readout = find_readout(model)

    def source(window_T: NDArray[np.int64]) -> Iterator[Tensor]:
        check_windows(window_T[None], readout)
        # No mode is held across a yield: two sources that take turns would restore each other's.
        with evaluation_mode(model):
            hidden_TH = readout.hidden(readout.ids(window_T[None]))[0]
        return readout.chunks(hidden_TH, budget_bytes=budget_bytes)

    return source


def divergence(
    reference: LogitsSource,
    candidate: LogitsSource,
    windows_NT: NDArray[np.int64],
    *,
    generator: np.random.Generator,
    num_resamples: int = 2000,
    progress: Progress | None = None,
) -> Divergence:
    """Return the divergence of `candidate` from `reference` on the same windows.

    Args:
        reference: logits of the model that is the measure, such as the dense one.
        candidate: logits of the changed model, or of its exported file in another engine.
        windows_NT: token ids.
        generator: source of the resampling behind the intervals.
        num_resamples: bootstrap resamples.
        progress: called after each window.

    Raises:
        UnpairedError: the sources differ in their vocabulary or their number of positions.
        NonFiniteLogitsError: a logit is NaN or infinite (names the window).
    """
    kl, same = [], []
    for number, window_T in enumerate(windows_NT):
        kl_T, same_T = _window_divergence(reference(window_T), candidate(window_T))
        if not np.isfinite(kl_T).all():
            raise NonFiniteLogitsError(f"The divergence on window {number} is not finite.", window=number)
        kl.append(kl_T)
        same.append(same_T)
        if progress is not None:
            progress(number + 1, len(windows_NT))
    return _summarise(np.stack(kl), np.stack(same), generator, num_resamples)


def side_by_side(reference: Iterator[Tensor], candidate: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of equally long chunks, whatever chunks the two sources come in.

    Raises:
        UnpairedError: the sources differ in their vocabulary or their number of positions.
    """
    ours, theirs = next(reference, None), next(candidate, None)
    while ours is not None and theirs is not None:
        if ours.shape[1] != theirs.shape[1]:
            raise UnpairedError(f"The reference has {ours.shape[1]} tokens, the candidate {theirs.shape[1]}.")
        size = min(len(ours), len(theirs))
        yield ours[:size], theirs[:size].to(ours.device)
        ours = ours[size:] if len(ours) > size else next(reference, None)
        theirs = theirs[size:] if len(theirs) > size else next(candidate, None)
    if ours is not None or theirs is not None:
        raise UnpairedError("One source has logits of more positions than the other.")


def _window_divergence(
    reference: Iterable[Tensor], candidate: Iterable[Tensor]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kl, same = [], []
    for ours_CV, theirs_CV in side_by_side(iter(reference), iter(candidate)):
        log_p_CV, log_q_CV = ours_CV.float().log_softmax(-1), theirs_CV.float().log_softmax(-1)
        kl.append((log_p_CV.exp() * (log_p_CV - log_q_CV)).sum(-1, dtype=torch.float64))
        same.append((log_p_CV.argmax(-1) == log_q_CV.argmax(-1)).double())
    return torch.cat(kl).cpu().numpy(), torch.cat(same).cpu().numpy()


def _summarise(
    kl_NT: NDArray[np.float64], same_NT: NDArray[np.float64], generator: np.random.Generator, num_resamples: int
) -> Divergence:
    kl_ends, same_ends = (_ends(values_NT, generator, num_resamples) for values_NT in (kl_NT, same_NT))
    return Divergence(
        kl=float(kl_NT.mean()),
        kl_low=kl_ends[0],
        kl_high=kl_ends[1],
        kl_p99=float(np.quantile(kl_NT, 0.99)),
        same_top1=float(same_NT.mean()),
        same_top1_low=same_ends[0],
        same_top1_high=same_ends[1],
        num_positions=kl_NT.size,
        num_windows=len(kl_NT),
    )


def _ends(
    values_NT: NDArray[np.float64], generator: np.random.Generator, num_resamples: int
) -> tuple[float, float] | tuple[None, None]:
    if len(values_NT) < MIN_WINDOWS:
        return None, None
    return interval(bootstrap_means(values_NT.mean(axis=1), generator=generator, num_resamples=num_resamples))
