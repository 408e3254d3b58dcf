"""What rounding one linear does to the model's predictions: estimated for all, measured for some.

Shapes: F out_features, D in_features, N windows, T tokens, V vocabulary.

Theory of operation. To second order, the KL divergence of a changed model from the dense one is half the change's
square in the metric of the Fisher information. For a linear whose weights move by E it is about half of the sum, over
outputs, of E[g²] times (E G Eᵀ) of that output, where g is the gradient at the output of the log-likelihood of tokens
drawn from the model itself, and G the Gram matrix of the inputs. One backward pass gives g for every linear, so every
type of every tensor is judged without running the model again.
What is left out (outputs that go together, tokens that go together, errors too large for a second order) differs by
role. So some linears of each role are rounded alone and the divergence is measured; the mean ratio of measured to
estimated corrects the role, and the rank agreement is reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import rankdata  # type: ignore[import-untyped]
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.models import Architecture, capture_block_inputs, finish_blocks, run_block

Progress = Callable[[int, int], None]


def estimate_damage(
    error_FD: Float[Tensor, "F D"], gram_DD: Float[Tensor, "D D"], sensitivity_F: Float[Tensor, " F"]
) -> float:
    """Return the estimated KL divergence a token, in nats, when a linear's weights are off by `error_FD`."""
    return 0.5 * float((((error_FD @ gram_DD) * error_FD).sum(dim=1) * sensitivity_F).sum())


@torch.no_grad()
def measure_damage(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    *,
    changes: Mapping[str, Mapping[str, Float[Tensor, "F D"]]],
    progress: Progress = lambda _done, _total: None,
) -> dict[str, float]:
    """Return the mean KL divergence a token from the model as it is, in nats, of each change made alone.

    Only the blocks from the changed one on are run again. The weights are put back after each change.

    Args:
        windows_NT: tokens, all in one batch.
        changes: by any name, the weights to put in, by the path of their linears.
        progress: called with changes done and changes in all.
    """
    hidden, context = capture_block_inputs(model, architecture, windows_NT)
    inputs = [hidden]
    for index in range(architecture.num_layers):
        inputs.append(run_block(model, architecture, index, hidden_BTD=inputs[-1], context=context))
    log_p_NTV = finish_blocks(model, architecture, inputs[-1]).float().log_softmax(-1)
    layer_of = {slot.path: layer.index for layer in architecture.layers for slot in layer.linears}
    damages = {}
    for number, (name, weights) in enumerate(changes.items(), start=1):
        with _replaced(model, weights):
            hidden = inputs[first := min(layer_of[path] for path in weights)]
            for index in range(first, architecture.num_layers):
                hidden = run_block(model, architecture, index, hidden_BTD=hidden, context=context)
            damages[name] = _mean_kl(log_p_NTV, finish_blocks(model, architecture, hidden))
        progress(number, len(changes))
    return damages


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How estimates compare with what was measured on the same changes.

    Attributes:
        factors: by role, what its estimates are multiplied by: the geometric mean of measured over estimated.
        rank_agreement: Spearman's correlation of measured with estimated damage before any correction, in [-1, 1];
            None where fewer than three were measured.
        num_measured: changes measured.
    """

    factors: Mapping[str, float]
    rank_agreement: float | None
    num_measured: int


def calibrate(
    estimated: Mapping[str, float], measured: Mapping[str, float], *, role_of: Mapping[str, str]
) -> Calibration:
    """Return the correction of each role that has a change measured; changes without any damage tell nothing.

    Args:
        estimated: damage by change, for those measured at least.
        measured: damage by change.
        role_of: the role of each change measured.
    """
    ratios: dict[str, list[float]] = {}
    for name, found in measured.items():
        if found > 0 and estimated[name] > 0:
            ratios.setdefault(role_of[name], []).append(math.log(found / estimated[name]))
    factors = {role: math.exp(sum(logs) / len(logs)) for role, logs in ratios.items()}
    return Calibration(factors=factors, rank_agreement=_rank_agreement(estimated, measured), num_measured=len(measured))


def spread_evenly(paths: Sequence[str], count: int) -> list[str]:
    """Return up to `count` of the paths, evenly apart, the first and the last among them if there are two or more."""
    if count >= len(paths):
        return list(paths)
    if count == 1:
        return [paths[len(paths) // 2]]
    return [paths[round(index * (len(paths) - 1) / (count - 1))] for index in range(count)]


def _rank_agreement(estimated: Mapping[str, float], measured: Mapping[str, float]) -> float | None:
    if len(measured) < 3:
        return None
    pairs = np.array([(estimated[name], found) for name, found in measured.items()])
    agreement = float(np.corrcoef(rankdata(pairs, axis=0), rowvar=False)[0, 1])
    return agreement if math.isfinite(agreement) else None


@contextmanager
def _replaced(model: PreTrainedModel, weights: Mapping[str, Tensor]) -> Iterator[None]:
    parameters = {path: model.get_parameter(f"{path}.weight") for path in weights}
    before = {path: parameter.detach().clone() for path, parameter in parameters.items()}
    try:
        for path, weight_FD in weights.items():
            parameters[path].copy_(weight_FD)
        yield
    finally:
        for path, weight_FD in before.items():
            parameters[path].copy_(weight_FD)


def _mean_kl(log_p_NTV: Tensor, logits_NTV: Tensor) -> float:
    total = 0.0
    for log_p_TV, logits_TV in zip(log_p_NTV, logits_NTV, strict=True):  # a window at a time: vocabularies are large
        log_q_TV = logits_TV.float().log_softmax(-1)
        total += float((log_p_TV.exp() * (log_p_TV - log_q_TV)).sum(dtype=torch.float64))
    return max(0.0, total / log_p_NTV[..., 0].numel())
