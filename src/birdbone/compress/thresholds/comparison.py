"""Thresholds beside an even share at the same size, on text that neither has seen. Shapes: N windows, T tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import ThresholdConfig
from birdbone.compress.thresholds.ground import Ground, masks_of, share_shed
from birdbone.compress.thresholds.objective import pruned
from birdbone.evaluate.perplexity import token_nll
from birdbone.evaluate.statistics import PairedRatio, paired_ratio

EVEN = "even share"
"""Name of the thresholds that all others are put beside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One way of shedding on judged text.

    Attributes:
        shed: share of the weights that is gone, counted in the masks.
        perplexity: on the judged windows.
        ratio: of its perplexity to that of the even share, paired by window; None for the even share itself.
    """

    name: str
    shed: float
    perplexity: float
    ratio: PairedRatio | None


def judge_thresholds(
    model: PreTrainedModel,
    ground: Ground,
    windows_NT: NDArray[np.int64],
    candidates: Mapping[str, ThresholdConfig],
    *,
    target: float,
    seed: int,
    batch_size: int = 2,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Judged, ...]:
    """Return the even share, then each candidate beside it. The model is as it was afterwards.

    Args:
        windows_NT: at least eight windows of text that nothing was tuned or calibrated on.
        candidates: settings by name; every one sheds `target` but for rounding.
        seed: of the intervals.
        progress: called with candidates done and candidates in all, the even share among them.

    Raises:
        TooFewWindowsError: fewer than eight windows.
        TargetOutOfReachError, UnknownClusterError: as `decide_fractions` says.
    """
    ways = {EVEN: ThresholdConfig(spread=0.0, low=0.0, high=1.0), **candidates}
    even_NP: NDArray[np.float64] | None = None
    found: list[Judged] = []
    for number, (name, config) in enumerate(ways.items(), start=1):
        masks = masks_of(ground, config, target=target)
        nll_NP = masked_nll(model, masks, windows_NT, batch_size=batch_size)
        ratio = None if even_NP is None else paired_ratio(nll_NP, even_NP, seed=seed)
        even_NP = nll_NP if even_NP is None else even_NP
        found.append(Judged(name=name, shed=share_shed(masks), perplexity=float(np.exp(nll_NP.mean())), ratio=ratio))
        progress(number, len(ways))
    return tuple(found)


def masked_nll(
    model: PreTrainedModel,
    masks: Mapping[str, Bool[Tensor, "F D"]],
    windows_NT: NDArray[np.int64],
    *,
    batch_size: int,
) -> NDArray[np.float64]:
    """Return the negative log-likelihoods of the model with masks on, and take them off again."""
    with pruned(model, masks):
        return token_nll(model, windows_NT, batch_size=batch_size)
