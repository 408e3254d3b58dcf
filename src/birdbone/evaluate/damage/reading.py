"""One reading of the same text by two models.

Shapes: N windows, T tokens, P = T - 1 positions with a known next token, C positions in a chunk, V vocabulary.
Logits are walked side by side in chunks, so neither model's stand in memory all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdbone.evaluate.damage.rules import PairedReading
from birdbone.evaluate.divergence import LogitsSource, side_by_side
from birdbone.evaluate.errors import NonFiniteLogitsError
from birdbone.evaluate.perplexity import Progress


def read_pair(
    baseline: LogitsSource,
    candidate: LogitsSource,
    windows_NT: NDArray[np.int64],
    *,
    progress: Progress | None = None,
) -> PairedReading:
    """Return how the candidate's predictions differ from the baseline's at every position of the windows but the last.

    Args:
        baseline: logits of the model that is the measure.
        candidate: logits of the changed model.
        windows_NT: token ids.
        progress: called after each window.

    Raises:
        UnpairedError: the sources differ in their vocabulary or their number of positions.
        NonFiniteLogitsError: a likelihood is NaN or infinite (names the window and position).
    """
    rows = []
    for number, window_T in enumerate(windows_NT):
        rows.append(_read_window(baseline(window_T[:-1]), candidate(window_T[:-1]), window_T[1:]))
        _require_finite(rows[-1], number)
        if progress is not None:
            progress(number + 1, len(windows_NT))
    kl_NP, jump_NP, same_NP = (np.stack(values) for values in zip(*rows, strict=True))
    return PairedReading(kl_NP=kl_NP, jump_NP=jump_NP, same_NP=same_NP.astype(np.bool_), ids_NP=windows_NT[:, :-1])


def text_nll(logits: LogitsSource, ids: Sequence[int], *, prefix_token: int, window: int) -> float:
    """Return the negative log-likelihood of all ids in nats, each stretch of `window - 1` of them after the prefix.

    Args:
        logits: of the model.
        ids: of one text; none has 0 nats.
        prefix_token: stands before each stretch, so that its first token is judged too.
        window: tokens that the model sees at once, at least 2.

    Raises:
        NonFiniteLogitsError: the likelihood is NaN or infinite.
    """
    total = 0.0
    for begin in range(0, len(ids), window - 1):
        stretch = np.array([prefix_token, *ids[begin : begin + window - 1]], dtype=np.int64)
        total += _stretch_nll(logits(stretch), stretch[1:])
    if not np.isfinite(total):
        raise NonFiniteLogitsError(f"The likelihood of a text of {len(ids)} tokens is {total}.")
    return total


@torch.no_grad()
def _read_window(
    baseline: Iterable[Tensor], candidate: Iterable[Tensor], targets_P: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    kl, jump, same = [], [], []
    begin = 0
    for ours_CV, theirs_CV in side_by_side(iter(baseline), iter(candidate)):
        log_p_CV, log_q_CV = ours_CV.float().log_softmax(-1), theirs_CV.float().log_softmax(-1)
        wanted_C1 = torch.from_numpy(targets_P[begin : begin + len(log_p_CV)]).to(log_p_CV.device)[:, None]
        kl.append((log_p_CV.exp() * (log_p_CV - log_q_CV)).sum(-1, dtype=torch.float64))
        jump.append((log_p_CV.gather(1, wanted_C1) - log_q_CV.gather(1, wanted_C1))[:, 0].double())
        same.append((log_p_CV.argmax(-1) == log_q_CV.argmax(-1)).double())
        begin += len(log_p_CV)
    kl_P, jump_P, same_P = (torch.cat(values).cpu().numpy() for values in (kl, jump, same))
    return kl_P, jump_P, same_P


@torch.no_grad()
def _stretch_nll(logits: Iterable[Tensor], targets_P: NDArray[np.int64]) -> float:
    total, begin = 0.0, 0
    for chunk_CV in logits:
        logits_CV = chunk_CV[: len(targets_P) - begin]  # what follows the last token is not known
        wanted_C1 = torch.from_numpy(targets_P[begin : begin + len(logits_CV)]).to(logits_CV.device)[:, None]
        total -= float(logits_CV.float().log_softmax(-1).gather(1, wanted_C1).sum(dtype=torch.float64))
        begin += len(logits_CV)
    return total


def _require_finite(row: Sequence[NDArray[np.float64]], window: int) -> None:
    is_finite_P = np.isfinite(row[0]) & np.isfinite(row[1])
    if not is_finite_P.all():
        position = int(np.argmin(is_finite_P))
        message = f"The likelihoods at position {position} of window {window} are not finite."
        raise NonFiniteLogitsError(message, window=window, position=position)
