"""The step `shed`: one round is one cut; a cut that hurts is undone and ends the step.

A cut takes structures out of the last good state, lets the rest take over, heals it against the dense model and judges
it as stored and loaded again. What is left is the base of all later steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from birdbone.compress import cut_shares, judge_wave
from birdbone.compress.config import StopLossConfig, StructuresPattern, TargetedPattern
from birdbone.compress.growth import build_dependency_graph
from birdbone.compress.healing import heal_model
from birdbone.compress.shedding.cutting import cut_model
from birdbone.compress.shedding.planning import plan_cut
from birdbone.compress.waves import draw_windows
from birdbone.core import Measurement
from birdbone.evaluate import paired_ratio
from birdbone.models import Architecture, LoadedModel, compute_in, describe_architecture
from birdbone.models.tensors import as_token_ids
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import ShedStep
from birdbone.pipeline.steps.bases import base_of, base_perplexity, base_version, dense_perplexity
from birdbone.pipeline.steps.materials import (
    commit_state,
    judge_in_torch,
    keep_model,
    run_branch,
    take_array,
    take_model,
)
from birdbone.pipeline.steps.wave_evidence import healing_notes
from birdbone.vault import move_ref


def run(context: StepContext, settings: ShedStep) -> StepResult:
    """Make one cut on the last good state, heal it, judge it as stored and loaded again, and keep or undo it."""
    number, base = context.round + 1, base_of(context)
    dense, state = take_model(context, context.artefacts["dense"]), take_model(context, base.artefact)
    num_dense = _num_parameters(dense.architecture)
    gone = 1 - _num_parameters(state.architecture) / num_dense
    pattern = _rest_of(settings.pattern, wanted=cut_shares(settings)[context.round], gone=gone)
    structures = _cut(context, settings, state, pattern)
    state = replace(state, architecture=describe_architecture(state.model))
    notes: dict[str, Any] = {
        "cut": number,
        "structures": structures,
        "share": 1 - _num_parameters(state.architecture) / num_dense,
        "layers": [
            {"heads": layer.num_heads, "kv_heads": layer.num_kv_heads, "neurons": layer.feed_forward_size}
            for layer in state.architecture.layers
        ],
        **_heal(context, settings, state, dense),
    }
    artefact = keep_model(context, state.model, state.tokenizer, base=base.artefact)
    nll_NT, perplexity = judge_in_torch(context, take_model(context, artefact))
    decision = judge_wave(
        perplexity.value,
        last_good=base_perplexity(context),
        dense=dense_perplexity(context),
        num_on_probation=0,
        config=StopLossConfig(max_rise=settings.max_rise, max_total_rise=settings.max_rise, patience=1),
    )
    figures = (
        perplexity.measurement(artefact=artefact),
        _ratio(context, nll_NT).measurement(artefact=artefact),
        _share_gone(notes["share"], artefact=artefact, num_parameters=num_dense),
    )
    version = commit_state(
        context, artefact, message=f"cut {number}: {decision.verdict}, {decision.reason}", figures=figures
    )
    notes |= {
        "verdict": decision.verdict,
        "reason": decision.reason,
        "perplexity": perplexity.value,
        "rise": decision.rise,
        "total_rise": decision.total_rise,
        "state": artefact,
        "version": version.id,
    }
    if decision.verdict == "good":
        return StepResult(artefacts={"base": artefact}, measurements=figures, notes=notes)
    _undo(context, number=number, version=version.id)
    return StepResult(measurements=figures, notes=notes)


def _rest_of(pattern: StructuresPattern, *, wanted: float, gone: float) -> StructuresPattern:
    """Return the pattern with the share of what is still there that brings the share that is gone to `wanted`."""
    if isinstance(pattern, TargetedPattern):
        return pattern
    return pattern.model_copy(update={"share": max(1e-6, (wanted - gone) / (1 - gone))})


def _cut(context: StepContext, settings: ShedStep, state: LoadedModel, pattern: StructuresPattern) -> dict[str, int]:
    """Take structures out of the model in place and return how many of each kind went."""
    windows_NT = as_token_ids(take_array(context, "windows", "calibration"))[: settings.num_windows]
    graph = build_dependency_graph(state.architecture)
    with compute_in(context.recipe.dtype):
        choice = plan_cut(
            state.model,
            graph,
            pattern,
            windows_NT,
            protect=settings.protect,
            ablate_windows=settings.num_ablate_windows,
            progress=context.progress("what each structure carries"),
        )
        shed = cut_model(
            state.model,
            graph,
            choice.structures,
            windows_NT=windows_NT,
            damping=settings.damping,
            progress=context.progress("cut and refit"),
        )
    kinds = [structure.kind for structure in shed.structures]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def _heal(context: StepContext, settings: ShedStep, state: LoadedModel, dense: LoadedModel) -> dict[str, Any]:
    """Heal in place and return what that did; nothing where healing is off, or needs blocks that are gone."""
    has_all_layers = state.architecture.num_layers == dense.architecture.num_layers
    if settings.heal.num_steps == 0 or (settings.heal.kind == "blockwise" and not has_all_layers):
        return {}
    windows_NT = draw_windows(
        as_token_ids(take_array(context, "windows", "healing")),
        count=settings.heal.num_windows,
        wave=context.round,
        seed=context.recipe.seed,
    )
    with compute_in(context.recipe.dtype):
        report = heal_model(
            state.model,
            dense.model,
            state.architecture,
            windows_NT=windows_NT,
            masks={},
            config=settings.heal,
            progress=context.progress("heal"),
            sink=context.sink,
        )
    return healing_notes(report)


def _undo(context: StepContext, *, number: int, version: str) -> None:
    """Move the run's branch back to the last good state; what was undone keeps a tag."""
    tag = f"refs/tags/{run_branch(context)}-cut-{number}-undone"
    move_ref(context.vault, tag, version, reason="kept to be looked at", force=True)  # made again by a resume
    move_ref(context.vault, run_branch(context), base_version(context), reason="stop-loss: cut undone")


def _ratio(context: StepContext, nll_NT: NDArray[Any]) -> Any:
    settings = context.recipe.evaluate
    dense_nll_NT = take_array(context, "likelihoods", "dense")
    return paired_ratio(nll_NT, dense_nll_NT, seed=settings.seed, num_resamples=settings.num_resamples)


def _share_gone(share: float, *, artefact: str, num_parameters: int) -> Measurement:
    return Measurement(
        name="share_gone",
        value=share,
        unit="1",
        method="parameters of the decoder that are gone, over those of the dense model, counted",
        artefact=artefact,
        sample_size=num_parameters,
    )


def _num_parameters(architecture: Architecture) -> int:
    return build_dependency_graph(architecture).num_decoder_parameters
