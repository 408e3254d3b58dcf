"""The step `waves`: one round is one wave; a wave that hurts is undone by going on from the last good state."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdbone.compress import judge_wave
from birdbone.compress.importance import readable_without_gradients
from birdbone.compress.shedding import sparsity
from birdbone.compress.waves import Masks, draw_windows, full_masks, heal_wave, regrow_wave, shed_wave
from birdbone.core import Measurement
from birdbone.evaluate import paired_ratio
from birdbone.evaluate.perplexity import Perplexity
from birdbone.models import LoadedModel, compute_in
from birdbone.models.tensors import as_token_ids
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import WavesStep
from birdbone.pipeline.steps.activations import take_gradients, take_statistics
from birdbone.pipeline.steps.bases import base_of, base_perplexity, base_version, dense_perplexity, take_teacher
from birdbone.pipeline.steps.materials import (
    commit_state,
    judge_in_torch,
    keep_model,
    keep_tensors,
    run_branch,
    take_array,
    take_model,
    take_tensors,
)
from birdbone.pipeline.steps.wave_clusters import cluster_shares
from birdbone.pipeline.steps.wave_evidence import cost_notes, damage_notes, healing_notes
from birdbone.pipeline.steps.wave_plans import (
    Foresight,
    foresee,
    is_last_wave,
    plan_wave,
    planned_settings,
    stop_loss_of,
    with_next_wave,
)
from birdbone.pipeline.wave_history import STOPPED
from birdbone.vault import move_ref


def run(context: StepContext, settings: WavesStep) -> StepResult:
    """Do one wave on the newest state, judge it as stored and loaded again, and say what becomes of it.

    Artefacts: `state` and `masks` are the newest ones, also on probation; `good_state` and `good_masks` the last good.
    """
    if not context.wait_for_leave():
        return _end_by_hand(context)
    begun_at = time.monotonic()
    plan = plan_wave(context, settings)
    planned = planned_settings(settings, plan)
    base = take_model(context, base_of(context).artefact)
    dense = take_teacher(context, base) if base_of(context).num_cuts else base
    statistics = take_statistics(context, base.architecture)
    state = take_model(context, _state(context))
    masks = _newest_masks(context, state)
    windows_NT = _healing_windows(context, planned)
    # A forecast is made before the gradients are there, so it looks at activations for metrics that read gradients.
    importance = readable_without_gradients(settings.importance)
    has_evidence = settings.damage.num_windows > 0
    foresight = Foresight(state=state, statistics=statistics, importance=importance) if has_evidence else None

    notes: dict[str, Any] = {"wave": context.round + 1, **foresee(context, plan, foresight, masks)}
    masks = shed_wave(
        state.model,
        masks=masks,
        statistics=statistics,
        config=planned,
        gradients=take_gradients(context, state, settings.importance),
        fractions=cluster_shares(context, planned, state, statistics=statistics, masks=masks),
        progress=context.progress("shed and refit"),
    )
    notes |= _heal(context, planned, state, dense, masks, windows_NT)
    judged = _store_and_judge(context, state)
    notes["perplexity_after_heal"] = judged.perplexity.value
    if judged.perplexity.value / _last_good(context) - 1 > settings.regrow.spike and settings.regrow.fraction > 0:
        before = masks
        masks = regrow_wave(
            state.model,
            base.model,
            masks=masks,
            statistics=statistics,
            windows_NT=windows_NT[: settings.regrow.num_windows],
            config=planned,
        )
        notes["num_regrown"] = sum(int((masks[path] & ~before[path]).sum()) for path in masks)
        notes |= _heal(context, planned, state, dense, masks, windows_NT)
        judged = _store_and_judge(context, state)
    notes |= damage_notes(context, settings, state, dense, windows_NT)
    notes |= _rises(context, judged) | cost_notes(context, begun_at)
    result = _conclude(context, settings, judged, masks=masks, notes=notes)
    return with_next_wave(context, settings, result, foresight=foresight, masks=masks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A stored state of the model with its likelihoods on the held-out text."""

    artefact: str
    nll_NT: NDArray[np.float64]
    perplexity: Perplexity


def _conclude(
    context: StepContext, settings: WavesStep, judged: _Judged, *, masks: Masks, notes: dict[str, Any]
) -> StepResult:
    decision = judge_wave(
        judged.perplexity.value,
        last_good=_last_good(context),
        dense=dense_perplexity(context),
        num_on_probation=_num_on_probation(context),
        config=stop_loss_of(settings),
        is_last=is_last_wave(context, settings, notes),
    )
    candidate = {"state": judged.artefact, "masks": keep_tensors(context, "masks", masks)}
    good_states = list(context.history[-1].notes["good_states"]) if context.history else []
    notes |= {
        "verdict": decision.verdict,
        "reason": decision.reason,
        "perplexity": judged.perplexity.value,
        "sparsity_by_linear": {path: sparsity(mask_FD) for path, mask_FD in masks.items()},
        "good_states": good_states,
    }
    figures = _figures(context, judged, masks)
    message = f"wave {context.round + 1}: {decision.verdict}, {decision.reason}"
    version = commit_state(context, judged.artefact, message=message, figures=figures)
    notes["version"] = version.id
    if decision.verdict == "good":
        good_states.append(
            {**candidate, "wave": notes["wave"], "version": version.id, "perplexity": judged.perplexity.value}
        )
    if decision.verdict == "undone":
        tag = f"refs/tags/{run_branch(context)}-wave-{notes['wave']}-undone"
        move_ref(context.vault, tag, version.id, reason="kept to be looked at", force=True)  # made again by a resume
        candidate = _undo(context, good_states)
    return StepResult(artefacts=candidate, measurements=figures, notes=notes)


def _end_by_hand(context: StepContext) -> StepResult:
    """Return a round in which no wave was made; waves on probation are undone, as none is left to bring them back."""
    good_states = list(context.history[-1].notes["good_states"]) if context.history else []
    notes = {
        "wave": context.round + 1,
        "verdict": STOPPED,
        "reason": "the waves were ended by hand",
        "good_states": good_states,
    }
    return StepResult(artefacts=_undo(context, good_states) if _num_on_probation(context) else {}, notes=notes)


def _undo(context: StepContext, good_states: list[dict[str, Any]]) -> dict[str, str]:
    """Move the run's branch back to the last good state and return what the run goes on from."""
    versions = [state["version"] for state in good_states] or [base_version(context)]
    move_ref(context.vault, run_branch(context), versions[-1], reason="stop-loss: waves undone")
    if not good_states:
        return {"state": base_of(context).artefact}
    return {"state": good_states[-1]["state"], "masks": good_states[-1]["masks"]}


def _num_on_probation(context: StepContext) -> int:
    count = 0
    for result in reversed(context.history):
        if result.notes["verdict"] != "probation":
            break
        count += 1
    return count


def _figures(context: StepContext, judged: _Judged, masks: Masks) -> tuple[Measurement, ...]:
    dense_nll_NT = take_array(context, "likelihoods", "dense")
    settings = context.recipe.evaluate
    ratio = paired_ratio(judged.nll_NT, dense_nll_NT, seed=settings.seed, num_resamples=settings.num_resamples)
    num_weights = sum(mask_FD.numel() for mask_FD in masks.values())
    num_shed = num_weights - sum(int(mask_FD.sum()) for mask_FD in masks.values())
    share = Measurement(
        name="sparsity",
        value=num_shed / num_weights,
        unit="1",
        method="weights of the decoder's linears that the mask drops, over all of them",
        artefact=judged.artefact,
        sample_size=num_weights,
    )
    return (judged.perplexity.measurement(artefact=judged.artefact), ratio.measurement(artefact=judged.artefact), share)


def _newest_masks(context: StepContext, state: LoadedModel) -> Masks:
    last = context.history[-1].notes if context.history else {}
    is_dense_again = last.get("verdict") == "undone" and not last["good_states"]
    if "masks" not in context.artefacts or is_dense_again:
        return full_masks(state.model, state.architecture)
    return take_tensors(context, "masks")


def _healing_windows(context: StepContext, settings: WavesStep) -> Any:
    windows_NT = as_token_ids(take_array(context, "windows", "healing"))
    count = settings.heal.num_windows
    return draw_windows(windows_NT, count=count, wave=context.round, seed=context.recipe.seed)


def _heal(
    context: StepContext, settings: WavesStep, state: LoadedModel, dense: LoadedModel, masks: Masks, windows_NT: Any
) -> dict[str, Any]:
    with compute_in(context.recipe.dtype):
        report = heal_wave(
            state.model,
            dense.model,
            state.architecture,
            masks=masks,
            windows_NT=windows_NT,
            config=settings,
            progress=context.progress("heal"),
            sink=context.sink,
        )
    if report is None:
        return {}
    return healing_notes(report)


def _store_and_judge(context: StepContext, state: LoadedModel) -> _Judged:
    artefact = keep_model(context, state.model, state.tokenizer, base=_state(context))
    nll_NT, perplexity = judge_in_torch(context, take_model(context, artefact))
    return _Judged(artefact=artefact, nll_NT=nll_NT, perplexity=perplexity)


def _state(context: StepContext) -> str:
    """Return the model that this wave begins with."""
    return context.artefacts.get("state", base_of(context).artefact)


def _rises(context: StepContext, judged: _Judged) -> dict[str, float]:
    """Return the rise of perplexity over the last good state, the dense model, and the state it began with."""
    bases = {"rise": _last_good(context), "total_rise": dense_perplexity(context), "step_rise": _before(context)}
    return {name: judged.perplexity.value / base - 1 for name, base in bases.items()}


def _before(context: StepContext) -> float:
    """Return the perplexity of the state that this wave began with."""
    if context.history and context.history[-1].notes["verdict"] != "undone":
        return float(context.history[-1].notes["perplexity"])
    return _last_good(context)


def _last_good(context: StepContext) -> float:
    """Return the perplexity of the last good state: the newest good wave's, or the base's."""
    good = [result.notes["perplexity"] for result in context.history if result.notes["verdict"] == "good"]
    return float(good[-1]) if good else base_perplexity(context)
