"""Choosing calibration windows that differ, so that few of them say much. Deterministic: ties go to the first window.

Shapes: N windows, T tokens, E features, C chosen windows, V vocabulary.

Theory of operation. Statistics of activations are means over tokens, and text repeats itself: sixteen windows of one
book say less than sixteen of sixteen. Two ways to differ. Coverage takes, again and again, the window with the most
tokens that none of the chosen has. K-center takes the window that is farthest from all chosen ones, so that every
window left out is near one that is in.
"""

from __future__ import annotations

from typing import Literal, assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from birdbone.compress.config import CalibrationChoiceConfig
from birdbone.compress.errors import TooFewWindowsError
from birdbone.models import Architecture


def choose_windows(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    *,
    count: int,
    config: CalibrationChoiceConfig,
) -> Int[Tensor, "C T"]:
    """Return `count` of the windows in their old order.

    Raises:
        TooFewWindowsError: there are fewer.
    """
    _require(len(windows_NT), count)
    match config.kind:
        case "first":
            return windows_NT[:count]
        case "coverage":
            return windows_NT[most_covering(windows_NT, count=count)]
        case "k_center":
            features_NE = window_features(model, architecture, windows_NT, source=config.features)
            return windows_NT[farthest_first(features_NE, count=count)]
        case _:
            assert_never(config.kind)


def most_covering(windows_NT: Int[Tensor, "N T"], *, count: int) -> Int[Tensor, " C"]:
    """Return the rising indices of windows that greedily hold the most different tokens.

    Once no window adds a token, the count begins anew among the windows left.

    Raises:
        TooFewWindowsError: there are fewer than `count`.
    Source: Nemhauser, Wolsey and Fisher 1978, "An analysis of approximations for maximizing submodular set functions",
    sec. 4: at least 1 - 1/e of the best cover.
    """
    _require(len(windows_NT), count)
    _, ids_NT = torch.unique(windows_NT, return_inverse=True)
    holds_NV = torch.zeros(len(windows_NT), int(ids_NT.max()) + 1, dtype=torch.bool).scatter_(1, ids_NT, True)
    left_N, open_V = torch.ones(len(windows_NT), dtype=torch.bool), torch.ones(holds_NV.shape[1], dtype=torch.bool)
    for _ in range(count):
        gains_N = _gains(holds_NV, open_V, left_N)
        if int(gains_N.max()) == 0:
            open_V = torch.ones_like(open_V)
            gains_N = _gains(holds_NV, open_V, left_N)
        best = int(gains_N.argmax())
        left_N[best] = False
        open_V &= ~holds_NV[best]
    return (~left_N).nonzero()[:, 0]


def farthest_first(features_NE: Float[Tensor, "N E"], *, count: int) -> Int[Tensor, " C"]:
    """Return the rising indices of windows of which every other one is near: the first is the one nearest the mean.

    Raises:
        TooFewWindowsError: there are fewer than `count`.
    Source: Gonzalez 1985, "Clustering to minimize the maximum intercluster distance", sec. 2: no window is farther from
    a chosen one than twice the least possible.
    """
    _require(len(features_NE), count)
    features_NE = features_NE.double()
    first = int((features_NE - features_NE.mean(dim=0)).square().sum(dim=1).argmin())
    chosen, distance_N = [first], _distances(features_NE, first)
    while len(chosen) < count:
        distance_N[chosen] = -1  # equal windows are 0 apart, and a chosen one must not come again
        chosen.append(int(distance_N.argmax()))
        distance_N = torch.minimum(distance_N, _distances(features_NE, chosen[-1]))
    return torch.tensor(sorted(chosen))


@torch.no_grad()
def window_features(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    *,
    source: Literal["embeddings", "activations"],
) -> Float[Tensor, "N E"]:
    """Return one vector of length 1 a window: the mean of its embeddings, or of what its head reads, less the mean."""
    body, embedding = model.base_model, model.get_submodule(architecture.embedding)
    means = []
    for window_T in windows_NT:  # one at a time: the activations of all need not fit in memory
        if source == "embeddings":
            hidden_TE = embedding(window_T)
        else:
            hidden_TE = body(input_ids=window_T[None], use_cache=False).last_hidden_state[0]
        means.append(hidden_TE.float().mean(dim=0))
    centred_NE = torch.stack(means) - torch.stack(means).mean(dim=0)
    return functional.normalize(centred_NE, dim=1)


def _gains(holds_NV: Tensor, open_V: Tensor, left_N: Tensor) -> Tensor:
    """Return how many open tokens each window would add; a chosen window is worth less than nothing."""
    gains_N = (holds_NV & open_V).sum(dim=1)
    return torch.where(left_N, gains_N, -1)


def _distances(features_NE: Tensor, index: int) -> Tensor:
    return (features_NE - features_NE[index]).square().sum(dim=1)


def _require(num_windows: int, count: int) -> None:
    if not 1 <= count <= num_windows:
        raise TooFewWindowsError(
            f"{count} windows were asked for; there are {num_windows}.", num_windows=num_windows, wanted=count
        )
