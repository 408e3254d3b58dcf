"""One streamed pass that measures every layer's structures: redundancy, importance, sinks and massive activations.

Shapes: N windows, T tokens, B windows a batch, D hidden size, H query heads, F neurons.

Theory of operation. The hidden states of all windows are moved on block by block. While a block runs, hooks add up the
moments of what its last linears read (the neurons, the heads' outputs) and keep what its two halves add to the residual
stream; when it has run, its figures are taken and the sums are dropped. So memory holds one block's sums, and the
hidden states. Attention weights, from which sinks are seen, exist in the eager implementation only: the pass
switches to it and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.errors import NoCalibrationDataError, NonFiniteStatisticsError
from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.importance import activation_power, fluctuation
from birdbone.compress.growth.moments import MomentSums, watched_moments
from birdbone.compress.growth.redundancy import (
    block_influence,
    block_reconstruction_error,
    unbiased_cka,
    unit_reconstruction_errors,
)
from birdbone.compress.growth.silencing import output_path
from birdbone.compress.growth.structures import BlockKind
from birdbone.models import BlockContext, capture_block_inputs, run_block
from birdbone.models.architecture import LayerLayout

_SAMPLE_TOKENS = 2048
"""Tokens a block is compared on: CKA costs their square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSurvey:
    """What a layer, or one half of it, does to the residual stream.

    Attributes:
        influence: one less the mean cosine of what goes in and what comes out.
        cka: unbiased CKA of the same two; None under 4 tokens.
        reconstruction_error: share of what it adds that no linear map of its input gives.
    """

    influence: float
    cka: float | None
    reconstruction_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSurvey:
    """Units that a block's last linear reads: neurons or query heads. One value a unit.

    Attributes:
        power: see `importance.activation_power`.
        fluctuation: see `importance.fluctuation`.
        reconstruction_error: see `redundancy.unit_reconstruction_errors`.
        peak: largest absolute activation.
    """

    power: Tensor
    fluctuation: Tensor
    reconstruction_error: Tensor
    peak: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSurvey:
    """All figures of one layer; None for a block that it lacks.

    Attributes:
        blocks: of `layer`, `attention`, `feed_forward`.
        neurons, heads: units.
        sink_share: of each query head, the mean attention that a window's first token gets from all later ones; None
            where the family's attention does not tell.
        residual_peak_D: largest absolute value of each channel as it leaves the layer.
        residual_median: median absolute value there.
    """

    layer: int
    blocks: dict[str, BlockSurvey]
    neurons: UnitSurvey | None
    heads: UnitSurvey | None
    sink_share: Float[Tensor, " H"] | None
    residual_peak_D: Float[Tensor, " D"]
    residual_median: float


@dataclass(slots=True)
class _Watch:
    """What the hooks of one layer have seen."""

    moments: dict[BlockKind, MomentSums] = field(default_factory=dict)
    updates: list[Tensor] = field(default_factory=list)
    sink_sums: list[Tensor] = field(default_factory=list)


def survey_layers(
    model: PreTrainedModel,
    graph: DependencyGraph,
    windows_NT: Int[Tensor, "N T"],
    *,
    batch_size: int = 2,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[LayerSurvey, ...]:
    """Return the figures of every layer. The model is left as it was; it must not be run from another thread.

    Args:
        windows_NT: calibration tokens; windows beyond the last whole batch are left out.
        progress: called with layers done and layers in all.

    Raises:
        NoCalibrationDataError: no windows.
        NonFiniteStatisticsError: a layer's output is not finite (names it).
        SingularGramError: a block's inputs are zero on all windows.
    """
    if windows_NT.numel() == 0:
        raise NoCalibrationDataError("There are no calibration windows to find growth plates on.")
    size = min(batch_size, len(windows_NT))
    batches = [windows_NT[start : start + size] for start in range(0, len(windows_NT) - size + 1, size)]
    layers = graph.architecture.layers
    with torch.no_grad(), _eager_attention(model):
        captured = [capture_block_inputs(model, graph.architecture, batch) for batch in batches]
        hidden, context = [states for states, _ in captured], captured[0][1]
        found = []
        for layout in layers:
            survey, hidden = _survey_layer(model, graph, layout, hidden=hidden, context=context)
            found.append(survey)
            progress(layout.index + 1, len(layers))
    return tuple(found)


def _survey_layer(
    model: PreTrainedModel, graph: DependencyGraph, layout: LayerLayout, *, hidden: list[Tensor], context: BlockContext
) -> tuple[LayerSurvey, list[Tensor]]:
    watch = _Watch()
    with _watched(model, layout, watch):
        outputs = [
            run_block(model, graph.architecture, layout.index, hidden_BTD=states, context=context) for states in hidden
        ]
    residual_TD = torch.cat([states.flatten(0, 1) for states in outputs]).float()
    if not bool(residual_TD.isfinite().all()):
        raise NonFiniteStatisticsError(f"The output of layer {layout.index} is not finite.", layer=layout.path)
    survey = LayerSurvey(
        layer=layout.index,
        blocks=_survey_blocks(layout, watch, hidden, outputs),
        neurons=_survey_units(model, layout, "feed_forward", watch, unit_width=1),
        heads=_survey_units(model, layout, "attention", watch, unit_width=graph.architecture.head_dim),
        sink_share=torch.stack(watch.sink_sums).mean(dim=0) if watch.sink_sums else None,
        residual_peak_D=residual_TD.abs().amax(dim=0),
        residual_median=float(residual_TD.abs().median()),
    )
    return survey, outputs


def _survey_blocks(
    layout: LayerLayout, watch: _Watch, inputs: list[Tensor], outputs: list[Tensor]
) -> dict[str, BlockSurvey]:
    before_TD, after_TD = _sample(inputs), _sample(outputs)
    blocks = {"layer": _compare(before_TD, after_TD)}
    if layout.attention and layout.feed_forward:
        added_TD = _sample(watch.updates)
        blocks["attention"] = _compare(before_TD, before_TD + added_TD)
        start_TD = before_TD if layout.is_parallel else before_TD + added_TD
        blocks["feed_forward"] = _compare(start_TD, start_TD + after_TD - before_TD - added_TD)
    elif layout.attention or layout.feed_forward:
        blocks["attention" if layout.attention else "feed_forward"] = blocks["layer"]
    return blocks


def _compare(before_TD: Tensor, after_TD: Tensor) -> BlockSurvey:
    return BlockSurvey(
        influence=block_influence(before_TD, after_TD),
        cka=unbiased_cka(before_TD, after_TD) if len(before_TD) >= 4 else None,
        reconstruction_error=block_reconstruction_error(before_TD, after_TD - before_TD),
    )


def _sample(batches: list[Tensor]) -> Tensor:
    """Return some of the tokens, evenly spread, without each window's first: a sink would outweigh all others."""
    tokens_TD = torch.cat([states[:, 1:].flatten(0, 1) for states in batches])
    return tokens_TD[:: max(1, len(tokens_TD) // _SAMPLE_TOKENS)][:_SAMPLE_TOKENS].float()


def _survey_units(
    model: PreTrainedModel, layout: LayerLayout, kind: BlockKind, watch: _Watch, *, unit_width: int
) -> UnitSurvey | None:
    if kind not in watch.moments:
        return None
    moments, weight_FD = watch.moments[kind].moments(), model.get_parameter(f"{output_path(layout, kind)}.weight")
    mean_square_D = moments.gram_DD.diagonal()
    return UnitSurvey(
        power=activation_power(weight_FD, mean_square_D, unit_width=unit_width),
        fluctuation=fluctuation(weight_FD, mean_square_D, moments.mean_D, unit_width=unit_width),
        reconstruction_error=unit_reconstruction_errors(moments.gram_DD, unit_width=unit_width),
        peak=moments.peak_D.reshape(-1, unit_width).amax(dim=1),
    )


@contextmanager
def _watched(model: PreTrainedModel, layout: LayerLayout, watch: _Watch) -> Iterator[None]:
    handles = []
    if layout.attention:
        last = layout.norms.get("post_attention", output_path(layout, "attention"))
        handles.append(model.get_submodule(last).register_forward_hook(_keeper(watch)))
        parent = output_path(layout, "attention").rpartition(".")[0]
        handles.append(model.get_submodule(parent).register_forward_hook(_sink_reader(watch)))
    try:
        with watched_moments(model, layout) as watch.moments:
            yield
    finally:
        for handle in handles:
            handle.remove()


def _keeper(watch: _Watch) -> Callable[[Any, Any, Tensor], None]:
    return lambda _module, _inputs, output: watch.updates.append(output.detach())


def _sink_reader(watch: _Watch) -> Callable[[Any, Any, Any], None]:
    def read(_module: Any, _inputs: Any, output: Any) -> None:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if isinstance(weights, Tensor) and weights.ndim == 4 and weights.shape[2] > 1:
            watch.sink_sums.append(weights[:, :, 1:, 0].float().mean(dim=(0, 2)))

    return read


@contextmanager
def _eager_attention(model: PreTrainedModel) -> Iterator[None]:
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
