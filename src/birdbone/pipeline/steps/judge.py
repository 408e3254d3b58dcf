"""The step `judge`: the exported file, as llama.cpp loads it, against the dense F16 file in the same engine.

A candidate that fails its gate is rejected, and `evaluate.on_fail` says what follows. `fall_back`: the run goes back to
`quantize` with the next one (`good_states.py` has their order); when none is left, the last good state is exported in
F16, and the verdict says why. `retry`: it goes back to the stage that failed, with the settings changed that
`recommendations.py` names. `abort`: it stops here, and nothing is exported. Rules that a person has overridden for this
very file stop nothing. Quality comes first: the speed of a file that is not good enough is not measured.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from birdbone.core import Measurement
from birdbone.evaluate import AbortPolicy, RetryPolicy, Verdict, paired_ratio
from birdbone.models.gguf import write_gguf
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.errors import GateFailedError
from birdbone.pipeline.overrides import Override, overrides_of, read_overrides
from birdbone.pipeline.recipe import JudgeStep
from birdbone.pipeline.recommendations import Recommendation, earliest_step, recommend
from birdbone.pipeline.steps.bases import base_version
from birdbone.pipeline.steps.decoding import race
from birdbone.pipeline.steps.engines import file_figures, nll_in_llamacpp, num_threads, stored_zeros
from birdbone.pipeline.steps.floors import judge_sections, own_ratio, sections
from birdbone.pipeline.steps.good_states import candidates, good_states, num_rejected
from birdbone.pipeline.steps.materials import run_branch, summarise, take_array, take_file, take_model
from birdbone.vault import move_ref, put_file


def run(context: StepContext, settings: JudgeStep) -> StepResult:
    """Measure the exported file, give the verdict, and choose what the run exports."""
    candidate = take_file(context, "gguf")
    digest = context.artefacts["gguf"]
    overrides = _overrides(context, digest)
    figures = _quality(context, candidate, digest, with_own=bool(context.recipe.evaluate.stages.get("quantize")))
    verdict = judge_sections(sections(context, figures, digest), only_measured=True)
    if not verdict.findings or not _stopped_by(verdict, overrides):
        figures += _speed(context, settings, candidate, digest)
        verdict = judge_sections(sections(context, figures, digest))
    notes: dict[str, Any] = {
        "verdict": to_jsonable_python(asdict(verdict)),
        "wave": _wave(context),
        "judged": digest,
    }
    if not _stopped_by(verdict, overrides):
        if verdict.outcome == "fail":
            notes["overrides"] = [asdict(override) for override in overrides]
        return _accept(context, candidate, digest, figures, notes)
    return _stop(context, settings, verdict, figures, notes)


def _stop(
    context: StepContext, settings: JudgeStep, verdict: Verdict, figures: list[Measurement], notes: dict[str, Any]
) -> StepResult:
    """Return what becomes of a candidate that failed: a retry, the next candidate, or the last good state."""
    policy = context.recipe.evaluate.on_fail
    if isinstance(policy, AbortPolicy):
        reasons = "; ".join(finding.reason for finding in verdict.findings if finding.outcome == "fail")
        raise GateFailedError(f"The gate failed: {reasons}.", run_id=context.run_id, **notes)
    notes["is_rejected"] = True
    if isinstance(policy, RetryPolicy) and _num_retries(context) < policy.max_tries:
        asked = next((each for each in recommend(context.recipe, verdict.findings) if each.changes), None)
        if asked is not None:
            return _retry(context, policy, asked, figures, notes)
    if num_rejected(context) + 1 < len(candidates(context)):
        return StepResult(measurements=tuple(figures), notes=notes, go_back_to="quantize")
    return _fall_back(context, settings, figures, notes)


def _retry(
    context: StepContext,
    policy: RetryPolicy,
    asked: Recommendation,
    figures: list[Measurement],
    notes: dict[str, Any],
) -> StepResult:
    """Go back to the first step whose settings change. What the run's branch holds of it is taken back."""
    number, back = _num_retries(context) + 1, earliest_step(context.recipe, asked.changes)
    if back in ("shed", "waves"):
        version = base_version(context) if back == "waves" else str(context.notes["seed"]["version"])
        move_ref(context.vault, run_branch(context), version, reason=f"retry {number}: {asked.words}")
    notes["retry"] = {"number": number, "of": policy.max_tries, "go_back_to": back, **asdict(asked)}
    row = Measurement(
        name="retries",
        value=number,
        unit="1",
        method=f"counted; of {policy.max_tries} allowed: {asked.words}"[:512],
        artefact=str(notes["judged"]),
    )
    changes = {change.path: change.after for change in asked.changes}
    return StepResult(measurements=(*figures, row), notes=notes, go_back_to=back, changes=changes)


def _num_retries(context: StepContext) -> int:
    return sum("retry" in notes for notes in context.notes.values())


def _overrides(context: StepContext, digest: str) -> tuple[Override, ...]:
    """Return what was overridden of this step's verdict on this very file."""
    known = overrides_of(read_overrides(context.vault, context.run_id), step=context.label)
    return tuple(override for override in known if override.artefact == digest)


def _stopped_by(verdict: Verdict, overrides: tuple[Override, ...]) -> bool:
    """Return whether a rule failed that nobody has overridden, or nothing was judged."""
    failed = {finding.key for finding in verdict.findings if finding.outcome == "fail"}
    return not verdict.findings or bool(failed - {override.rule for override in overrides})


def _quality(context: StepContext, path: Path, digest: str, *, with_own: bool = False) -> list[Measurement]:
    nll_NT = nll_in_llamacpp(context, path, take_array(context, "windows", "heldout"))
    baseline_NT = take_array(context, "likelihoods", "dense_gguf")
    settings = context.recipe.evaluate
    ratio = paired_ratio(nll_NT, baseline_NT, seed=settings.seed, num_resamples=settings.num_resamples)
    figures = [
        summarise(context, nll_NT).measurement(artefact=digest, name="perplexity_gguf"),
        ratio.measurement(artefact=digest),
    ]
    return [*figures, own_ratio(context, nll_NT, artefact=digest)] if with_own else figures


def _speed(context: StepContext, settings: JudgeStep, path: Path, digest: str) -> list[Measurement]:
    baseline = take_file(context, "dense_gguf")
    raced = race(
        path,
        baseline,
        num_tokens=settings.decode_tokens,
        repeats=settings.repeats,
        max_threads=num_threads(context),
        progress=context.progress("decode rate in llama.cpp"),
    )
    engine = f"llama.cpp, {raced.num_threads} thread(s)"
    return [
        *raced.rates.candidate.measurements(artefact=digest, engine=engine),
        *raced.rates.baseline.measurements(artefact=context.artefacts["dense_gguf"], engine=engine),
        raced.rates.measurement(artefact=digest, engine=engine),
    ]


def _wave(context: StepContext) -> int:
    """Return the wave of the candidate: that of the newest `quantize`."""
    return int([notes["wave"] for label, notes in context.notes.items() if label.startswith("quantize")][-1])


def _accept(
    context: StepContext, path: Path, digest: str, figures: list[Measurement], notes: dict[str, Any]
) -> StepResult:
    notes["exported"] = _publish(context, path, suffix=_bits(context))
    artefacts = {"final": context.artefacts["candidate"], "final_gguf": digest}
    return StepResult(artefacts=artefacts, measurements=tuple(figures), notes=notes)


def _bits(context: StepContext) -> str:
    """Return the type of the candidate's linears: that of the newest `quantize`."""
    return str([notes["type"] for label, notes in context.notes.items() if label.startswith("quantize")][-1])


def _fall_back(
    context: StepContext, settings: JudgeStep, figures: list[Measurement], notes: dict[str, Any]
) -> StepResult:
    state = good_states(context)[-1]
    loaded = take_model(context, state.artefact)
    path = context.scratch / f"{context.recipe.name}-f16.gguf"
    report = write_gguf(
        path,
        model_config=loaded.model.config,
        state_tensors=loaded.model.state_dict(),
        tokenizer=loaded.tokenizer,
        name=str(context.notes["seed"]["name"]),
        license_name=str(context.notes["seed"]["licence"] or ""),
    )
    digest = put_file(context.vault, path, kind="gguf")
    figures += file_figures(report, artefact=digest)
    figures.append(stored_zeros(loaded.model.state_dict(), loaded.architecture.linear_paths, artefact=digest))
    figures += _quality(context, path, digest) + _speed(context, settings, path, digest)
    notes["exported"] = _publish(context, path, suffix="f16")
    notes["fell_back_to_wave"] = state.wave
    masks = {"masks": state.masks} if state.masks else {}
    artefacts = {"final": state.artefact, "final_gguf": digest, **masks}
    return StepResult(artefacts=artefacts, measurements=tuple(figures), notes=notes)


def _publish(context: StepContext, path: Path, *, suffix: str) -> str:
    """Copy the file to the run's `exports/` folder and return its name there."""
    folder = context.run_folder / "exports"
    folder.mkdir(exist_ok=True)
    name = f"{context.recipe.name}-{suffix}.gguf"
    shutil.copyfile(path, folder / name)
    return name
