"""The step `quantize`: the next candidate is rounded onto its grid; `good_states.py` has the order of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from birdbone.compress.config import RoundingConfig
from birdbone.compress.quantize import (
    ChosenTypes,
    choose_types,
    learn_rounding,
    round_ends,
    round_linears,
    weigh_linears,
)
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType, PackedTensor, QuantizedTensor, RoundedTensor
from birdbone.models.tensors import as_token_ids
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import QuantizeStep
from birdbone.pipeline.steps.activations import take_statistics
from birdbone.pipeline.steps.bases import take_teacher
from birdbone.pipeline.steps.good_states import candidates, num_rejected
from birdbone.pipeline.steps.materials import keep_tensors, take_array, take_model, take_tensors

_CODES, _SCALES, _MINS, _BYTES = ".codes", ".scales", ".mins", ".bytes"


def run(context: StepContext, settings: QuantizeStep) -> StepResult:
    """Store codes and scales of every matrix that the format rounds, and say how much output error that made."""
    candidate = candidates(context)[num_rejected(context)]
    state = candidate.state
    context = context.with_artefacts({"state": state.artefact, **({"masks": state.masks} if state.masks else {})})
    loaded = take_model(context, state.artefact)
    model, architecture = loaded.model, loaded.architecture
    statistics = take_statistics(context, architecture)
    masks = take_tensors(context, "masks") if state.masks else {}
    windows_NT = as_token_ids(take_array(context, "windows", "calibration"))
    chosen = choose_types(
        model,
        architecture,
        statistics,
        windows_NT=windows_NT,
        wanted=candidate.format,
        tell=lambda what, done, total: context.progress(what)(done, total),
    )
    quantized = round_linears(
        model,
        statistics,
        types=chosen.types,
        config=settings.rounding,
        masks=masks,
        progress=context.progress("rounding"),
    )
    quantized = _learn(context, loaded, quantized, windows_NT=windows_NT, config=settings.rounding)
    impacts = weigh_linears(model, architecture, statistics, types=chosen.types, rounded=quantized)
    embedding = candidate.format.embedding
    quantized |= round_ends(model, architecture, statistics, kind=embedding, config=settings.rounding)
    artefacts = {
        "candidate": state.artefact,
        "quantized": keep_tensors(context, "quantized", flatten(quantized)),
        **({"masks": state.masks} if state.masks else {}),
    }
    notes = {
        "wave": state.wave,
        "attempt": num_rejected(context),
        "type": candidate.format.label,
        "errors_by_linear": {
            impact.path: impact.relative_error for impact in impacts if f"{impact.path}.weight" in quantized
        },
        **_allocation_notes(chosen),
    }
    return StepResult(artefacts=artefacts, notes=notes)


def _learn(
    context: StepContext,
    loaded: LoadedModel,
    quantized: Mapping[str, RoundedTensor],
    *,
    windows_NT: Tensor,
    config: RoundingConfig,
) -> dict[str, RoundedTensor]:
    """Return the tensors as learning left them, where the settings ask for it; the model is as it was afterwards."""
    if config.num_learning_steps == 0:
        return dict(quantized)
    weights = {name: loaded.model.get_parameter(name).detach().clone() for name in quantized}
    learned = learn_rounding(
        loaded.model,
        take_teacher(context, loaded).model,
        loaded.architecture,
        quantized=quantized,
        weights=weights,
        windows_NT=windows_NT,
        config=config,
        progress=context.progress("learning to round"),
    )
    for name, weight_FD in weights.items():
        loaded.model.get_parameter(name).data.copy_(weight_FD)
    return dict(learned.quantized)


def _allocation_notes(chosen: ChosenTypes) -> dict[str, Any]:
    """Return what an allocation chose and by what; nothing where the format named every type."""
    if chosen.allocation is None or chosen.calibration is None:
        return {}
    return {
        "types_by_linear": dict(chosen.types),
        "allocated_bytes": chosen.allocation.size_bytes,
        "rank_agreement": chosen.calibration.rank_agreement,
        "num_measured": chosen.calibration.num_measured,
    }


def flatten(quantized: Mapping[str, RoundedTensor]) -> dict[str, Any]:
    """Return codes, scales and mins, or packed bytes, as plain tensors to be stored; the type is in the name."""
    tensors: dict[str, Any] = {}
    for name, tensor in quantized.items():
        stem = f"{name}.{tensor.type.name}"
        if isinstance(tensor, PackedTensor):
            tensors[stem + _BYTES] = tensor.data_FN
            continue
        tensors |= {stem + _CODES: tensor.codes, stem + _SCALES: tensor.scales}
        if tensor.mins is not None:
            tensors[stem + _MINS] = tensor.mins
    return tensors


def unflatten(tensors: dict[str, Any]) -> dict[str, RoundedTensor]:
    """Return what `flatten` was given; plain tensors that stand beside it are left out (see `plain_tensors`)."""
    found: dict[str, RoundedTensor] = {}
    for key, values in tensors.items():
        stem, _, part = key.rpartition(".")
        name, _, kind = stem.rpartition(".")
        if f".{part}" == _BYTES:
            found[name] = PackedTensor(type=GgufType[kind], data_FN=values)
        elif f".{part}" == _CODES:
            found[name] = QuantizedTensor(
                type=GgufType[kind], codes=values, scales=tensors[stem + _SCALES], mins=tensors.get(stem + _MINS)
            )
    return found


def plain_tensors(tensors: dict[str, Any]) -> dict[str, Any]:
    """Return the float tensors that a correction stored beside the codes."""
    return {key: value for key, value in tensors.items() if not key.endswith((_CODES, _SCALES, _MINS, _BYTES))}
