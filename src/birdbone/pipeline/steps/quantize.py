"""The step `quantize`: the last good state is rounded onto the grid; each retry takes the good state before it."""

from __future__ import annotations

from typing import Any

from birdbone.compress.quantize import choose_promotions, quantize_linear, relative_output_error
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType, QuantizedTensor, quantize_tensor
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import QuantizeStep
from birdbone.pipeline.steps.activations import take_statistics
from birdbone.pipeline.steps.good_states import GoodState, good_states
from birdbone.pipeline.steps.materials import keep_tensors, take_model, take_tensors

_CODES, _SCALES = ".codes", ".scales"


def run(context: StepContext, settings: QuantizeStep) -> StepResult:
    """Store codes and scales of every matrix that the format rounds, and say how much output error that made."""
    state = _chosen_state(context)
    context = context.with_artefacts({"state": state.artefact, **({"masks": state.masks} if state.masks else {})})
    loaded = take_model(context, state.artefact)
    statistics = take_statistics(context, loaded.architecture)
    masks = take_tensors(context, "masks") if state.masks else {}
    kind = GgufType[settings.format.linears.upper()]
    paths = loaded.architecture.linear_paths if kind.is_quantized else ()
    quantized, errors = {}, {}
    report = context.progress("rounding")
    for number, path in enumerate(paths, start=1):
        weight_FD, gram_DD = loaded.model.get_parameter(f"{path}.weight").detach(), statistics[path].gram_DD
        tensor = quantize_linear(
            weight_FD, statistics[path], kind=kind, mask_FD=masks.get(path), config=settings.rounding
        )
        quantized[f"{path}.weight"] = tensor
        errors[path] = relative_output_error(weight_FD, tensor.dequantize(), gram_DD)
        report(number, len(paths))
    promoted = _promote(loaded, quantized, errors, settings)
    quantized |= _embedding(loaded, settings)
    artefacts = {
        "candidate": state.artefact,
        "quantized": keep_tensors(context, "quantized", flatten(quantized)),
        **({"masks": state.masks} if state.masks else {}),
    }
    notes = {
        "wave": state.wave,
        "attempt": _attempt(context),
        "type": kind.name,
        "errors_by_linear": errors,
        "promoted": promoted,
    }
    return StepResult(artefacts=artefacts, notes=notes)


def _promote(
    loaded: LoadedModel, quantized: dict[str, QuantizedTensor], errors: dict[str, float], settings: QuantizeStep
) -> list[str]:
    """Put the linears that rounding hurt most into Q8_0, as far as the settings allow, and return their paths."""
    sizes = {path: quantized[f"{path}.weight"].codes.numel() for path in errors}
    promoted = choose_promotions(errors, sizes, share=settings.promote_share)
    for path in promoted:
        weight_FD = loaded.model.get_parameter(f"{path}.weight").detach()
        quantized[f"{path}.weight"] = quantize_tensor(weight_FD, GgufType.Q8_0)
    return promoted


def flatten(quantized: dict[str, QuantizedTensor]) -> dict[str, Any]:
    """Return codes and scales as plain tensors to be stored; the type is in the name."""
    tensors = {}
    for name, tensor in quantized.items():
        tensors[f"{name}.{tensor.type.name}{_CODES}"] = tensor.codes
        tensors[f"{name}.{tensor.type.name}{_SCALES}"] = tensor.scales
    return tensors


def unflatten(tensors: dict[str, Any]) -> dict[str, QuantizedTensor]:
    """Return what `flatten` was given; plain tensors that stand beside it are left out (see `plain_tensors`)."""
    found = {}
    for key, codes in tensors.items():
        if key.endswith(_CODES):
            name, _, kind = key.removesuffix(_CODES).rpartition(".")
            scales = tensors[key.removesuffix(_CODES) + _SCALES]
            found[name] = QuantizedTensor(type=GgufType[kind], codes=codes, scales=scales)
    return found


def plain_tensors(tensors: dict[str, Any]) -> dict[str, Any]:
    """Return the float tensors that a correction stored beside the codes and scales."""
    return {key: value for key, value in tensors.items() if not key.endswith((_CODES, _SCALES))}


def _chosen_state(context: StepContext) -> GoodState:
    states = good_states(context)
    return states[max(0, len(states) - 1 - _attempt(context))]


def _attempt(context: StepContext) -> int:
    """Return how many quantized candidates of this run failed their gate before."""
    return sum(1 for notes in context.notes.values() if notes.get("is_rejected"))


def _embedding(loaded: LoadedModel, settings: QuantizeStep) -> dict[str, QuantizedTensor]:
    kind = GgufType[settings.format.embedding.upper()]
    if not kind.is_quantized:
        return {}
    architecture = loaded.architecture
    paths = {architecture.embedding} if architecture.is_embedding_tied else {architecture.embedding, architecture.head}
    return {
        f"{path}.weight": quantize_tensor(loaded.model.get_parameter(f"{path}.weight").detach(), kind)
        for path in sorted(paths)
    }
