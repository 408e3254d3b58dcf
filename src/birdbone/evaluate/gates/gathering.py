"""Figures of two models for their rules: the size of what is stored, and what both predict of the same windows.

Shapes: N windows, T tokens, C positions, V vocabulary. Likelihoods are read off the logits that the divergence is taken
of anyway, so that neither model runs twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdbone.core import Measurement
from birdbone.data import token_windows
from birdbone.evaluate.benchmarks.opening import Candidate
from birdbone.evaluate.divergence import LogitsSource, divergence, model_logits
from birdbone.evaluate.errors import UnpairedError
from birdbone.evaluate.gates.evidence import Evidence
from birdbone.evaluate.perplexity import Progress, perplexity_from_nll
from birdbone.evaluate.statistics import MIN_WINDOWS, paired_ratio
from birdbone.models import load_model, use_threads
from birdbone.models.llamacpp import open_engine

Encode = Callable[[str], list[int]]
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much text is read."""

    window: int = 512
    """T, tokens a window."""
    num_windows: int = 32
    """N."""


def read_both(
    candidate: Candidate,
    baseline: Candidate,
    texts: Sequence[str],
    *,
    extent: Extent,
    num_threads: int,
    progress: Progress | None = None,
) -> Evidence:
    """Return the figures of both models on the first windows of the texts; both are in memory at once.

    Args:
        texts: documents that neither model was changed by.
        progress: called after each window.

    Raises:
        UnpairedError: the two split the texts into other tokens, so that a token's likelihood means two things.
        TooLittleTextError: there are fewer windows.
        NonFiniteLogitsError: a logit is NaN or infinite.
        ModelError: a model cannot be loaded.
    """
    with ExitStack() as stack:
        ours, encode_ours = stack.enter_context(_open_logits(candidate, extent, num_threads))
        theirs, encode_theirs = stack.enter_context(_open_logits(baseline, extent, num_threads))
        windows_NT, other_NT = (
            token_windows(texts, encode, window=extent.window, count=extent.num_windows)
            for encode in (encode_ours, encode_theirs)
        )
        if not np.array_equal(windows_NT, other_NT):
            raise UnpairedError(
                f"{candidate.name} and {baseline.name} split the text into other tokens.",
                hint="Judge them by benchmarks; a perplexity is by tokens.",
            )
        recorded = _Recorded(source=ours), _Recorded(source=theirs)
        found = divergence(
            recorded[1],
            recorded[0],
            windows_NT,
            generator=np.random.default_rng(_SEED),
            progress=progress,
        )
    our_nll_NP, their_nll_NP = (np.stack(each.nll) for each in recorded)
    has_interval = len(windows_NT) >= MIN_WINDOWS
    return Evidence(
        candidate=(
            _perplexity(our_nll_NP, candidate.artefact),
            *found.measurements(artefact=candidate.artefact),
        ),
        baseline=(_perplexity(their_nll_NP, baseline.artefact),),
        ratio=paired_ratio(our_nll_NP, their_nll_NP, seed=_SEED) if has_interval else None,
    )


def stored_size(model: Candidate) -> Measurement:
    """Return the bytes of a model's files of weights."""
    source = model.source
    files = [source.file] if source.file is not None else sorted(source.folder.glob("*.safetensors"))
    return Measurement(
        name="size",
        value=float(sum(file.stat().st_size for file in files)),
        unit="byte",
        method="size of the stored files of weights",
        artefact=model.artefact,
    )


@dataclass(slots=True, kw_only=True)
class _Recorded:
    """A source of logits that keeps the likelihoods of the tokens that came."""

    source: LogitsSource
    nll: list[NDArray[np.float64]] = field(default_factory=list)

    def __call__(self, window_T: NDArray[np.int64]) -> Iterator[Tensor]:
        targets_P, rows, begin = torch.from_numpy(window_T[1:]), [], 0
        for logits_CV in self.source(window_T):
            wanted_C = targets_P[begin : begin + len(logits_CV)].to(logits_CV.device)
            known_CV = logits_CV[: len(wanted_C)].float()  # nothing comes after the last position
            nll_C = known_CV.logsumexp(-1) - known_CV.gather(1, wanted_C[:, None])[:, 0]
            rows.append(nll_C.double().cpu().numpy())
            begin += len(logits_CV)
            yield logits_CV
        self.nll.append(np.concatenate(rows))


@contextmanager
def _open_logits(candidate: Candidate, extent: Extent, num_threads: int) -> Iterator[tuple[LogitsSource, Encode]]:
    """Give the logits of a model and its tokenizer, without special tokens."""
    if candidate.engine == "llama.cpp":
        assert candidate.source.file is not None, "a file that llama.cpp runs is a file"
        with open_engine(candidate.source.file, num_ctx=extent.window, num_threads=num_threads) as engine:

            def of_engine(window_T: NDArray[np.int64]) -> Iterable[Tensor]:
                return [torch.from_numpy(engine.logits(window_T.tolist()))]

            yield of_engine, engine.tokenize
        return
    before = use_threads(num_threads)
    try:
        loaded = load_model(candidate.spec, dtype=getattr(torch, candidate.dtype))

        yield model_logits(loaded.model), loaded.encode
    finally:
        use_threads(before)


def _perplexity(nll_NP: NDArray[np.float64], artefact: str) -> Measurement:
    return perplexity_from_nll(nll_NP, generator=np.random.default_rng(_SEED)).measurement(artefact=artefact)
