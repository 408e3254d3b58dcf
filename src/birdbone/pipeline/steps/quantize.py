"""The step `quantize`: the next candidate is rounded onto its grid; `good_states.py` has the order of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from birdbone.compress.config import QuantizeFormat, RoundingConfig
from birdbone.compress.quantize import quantize_linear, relative_output_error
from birdbone.compress.statistics import InputStatistics
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType, QuantizedTensor, quantize_tensor
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import QuantizeStep
from birdbone.pipeline.steps.activations import take_statistics
from birdbone.pipeline.steps.good_states import candidates, num_rejected
from birdbone.pipeline.steps.materials import keep_tensors, take_model, take_tensors

_CODES, _SCALES, _MINS = ".codes", ".scales", ".mins"


def run(context: StepContext, settings: QuantizeStep) -> StepResult:
    """Store codes and scales of every matrix that the format rounds, and say how much output error that made."""
    candidate = candidates(context)[num_rejected(context)]
    state = candidate.state
    context = context.with_artefacts({"state": state.artefact, **({"masks": state.masks} if state.masks else {})})
    loaded = take_model(context, state.artefact)
    statistics = take_statistics(context, loaded.architecture)
    masks = take_tensors(context, "masks") if state.masks else {}
    kinds = _kinds(candidate.format, loaded)
    quantized, errors = _round(context, settings.rounding, loaded, kinds=kinds, masks=masks, statistics=statistics)
    quantized |= _round_ends(settings.rounding, loaded, GgufType[candidate.format.embedding.upper()], statistics)
    artefacts = {
        "candidate": state.artefact,
        "quantized": keep_tensors(context, "quantized", flatten(quantized)),
        **({"masks": state.masks} if state.masks else {}),
    }
    notes = {
        "wave": state.wave,
        "attempt": num_rejected(context),
        "type": candidate.format.label,
        "errors_by_linear": errors,
    }
    return StepResult(artefacts=artefacts, notes=notes)


def _kinds(wanted: QuantizeFormat, loaded: LoadedModel) -> dict[str, GgufType]:
    """Return the type of each linear that does not stay in float."""
    slots = [slot for layer in loaded.architecture.layers for slot in layer.linears]
    kinds = {slot.path: GgufType[wanted.type_of(slot.role).upper()] for slot in slots}
    return {path: kind for path, kind in kinds.items() if kind.is_quantized}


def _round(
    context: StepContext,
    rounding: RoundingConfig,
    loaded: LoadedModel,
    *,
    kinds: Mapping[str, GgufType],
    masks: Mapping[str, Any],
    statistics: Mapping[str, InputStatistics],
) -> tuple[dict[str, QuantizedTensor], dict[str, float]]:
    """Return the linears on their grids, by the weight's name, and the relative output error of each, by its path."""
    report = context.progress("rounding")
    quantized, errors = {}, {}
    for number, (path, kind) in enumerate(kinds.items(), start=1):
        weight_FD = loaded.model.get_parameter(f"{path}.weight").detach()
        rounded = quantize_linear(weight_FD, statistics[path], kind=kind, mask_FD=masks.get(path), config=rounding)
        errors[path] = relative_output_error(weight_FD, rounded.dequantize(), statistics[path].gram_DD)
        quantized[f"{path}.weight"] = rounded
        report(number, len(kinds))
    return quantized, errors


def _round_ends(
    rounding: RoundingConfig, loaded: LoadedModel, kind: GgufType, statistics: Mapping[str, InputStatistics]
) -> dict[str, QuantizedTensor]:
    """Return the head, rounded for what it reads, and the embedding, which is the same tensor where it is tied."""
    if not kind.is_quantized:
        return {}
    architecture = loaded.architecture
    owner = architecture.embedding if architecture.is_embedding_tied else architecture.head
    config = rounding.model_copy(update={"damping": rounding.head_damping})
    head_VD = loaded.model.get_parameter(f"{owner}.weight").detach()
    rounded = {
        f"{owner}.weight": quantize_linear(
            head_VD, statistics[architecture.head], kind=kind, mask_FD=None, config=config
        )
    }
    if not architecture.is_embedding_tied:
        name = f"{architecture.embedding}.weight"
        rounded[name] = quantize_tensor(loaded.model.get_parameter(name).detach(), kind)
    return rounded


def flatten(quantized: dict[str, QuantizedTensor]) -> dict[str, Any]:
    """Return codes, scales and mins as plain tensors to be stored; the type is in the name."""
    tensors = {}
    for name, tensor in quantized.items():
        tensors[f"{name}.{tensor.type.name}{_CODES}"] = tensor.codes
        tensors[f"{name}.{tensor.type.name}{_SCALES}"] = tensor.scales
        if tensor.mins is not None:
            tensors[f"{name}.{tensor.type.name}{_MINS}"] = tensor.mins
    return tensors


def unflatten(tensors: dict[str, Any]) -> dict[str, QuantizedTensor]:
    """Return what `flatten` was given; plain tensors that stand beside it are left out (see `plain_tensors`)."""
    found = {}
    for key, codes in tensors.items():
        if key.endswith(_CODES):
            stem = key.removesuffix(_CODES)
            name, _, kind = stem.rpartition(".")
            found[name] = QuantizedTensor(
                type=GgufType[kind], codes=codes, scales=tensors[stem + _SCALES], mins=tensors.get(stem + _MINS)
            )
    return found


def plain_tensors(tensors: dict[str, Any]) -> dict[str, Any]:
    """Return the float tensors that a correction stored beside the codes."""
    return {key: value for key, value in tensors.items() if not key.endswith((_CODES, _SCALES, _MINS))}
