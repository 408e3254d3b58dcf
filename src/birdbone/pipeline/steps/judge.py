"""The step `judge`: the exported file, as llama.cpp loads it, against the dense F16 file in the same engine.

A candidate that fails its gate is rejected and the run goes back to `quantize` with the next one (`good_states.py` has
their order). When none is left, the last good state is exported in F16, and the verdict says why. Quality comes first:
the speed of a file that is not good enough is not measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from birdbone.core import Measurement
from birdbone.evaluate import GateRule, Verdict, judge, paired_ratio
from birdbone.models.gguf import write_gguf
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import JudgeStep
from birdbone.pipeline.steps.decoding import race
from birdbone.pipeline.steps.engines import file_figures, nll_in_llamacpp, num_threads, stored_zeros
from birdbone.pipeline.steps.good_states import candidates, good_states, num_rejected
from birdbone.pipeline.steps.materials import summarise, take_array, take_file, take_model
from birdbone.vault import put_file


def run(context: StepContext, settings: JudgeStep) -> StepResult:
    """Measure the exported file, give the verdict, and choose what the run exports."""
    candidate = take_file(context, "gguf")
    digest = context.artefacts["gguf"]
    figures = _quality(context, candidate, digest)
    names = {figure.name for figure in figures}
    quality_rules = [rule for rule in context.recipe.evaluate.gate if rule.measurement in names]
    verdict = _judge(context, quality_rules, figures, digest)
    if not quality_rules or verdict.outcome != "fail":
        figures += _speed(context, settings, candidate, digest)
        verdict = _judge(context, context.recipe.evaluate.gate, figures, digest)
    notes: dict[str, Any] = {"verdict": asdict(verdict), "wave": _wave(context)}
    if verdict.outcome != "fail":
        return _accept(context, candidate, digest, figures, notes)
    notes["is_rejected"] = True
    if num_rejected(context) + 1 < len(candidates(context)):
        return StepResult(measurements=tuple(figures), notes=notes, go_back_to="quantize")
    return _fall_back(context, settings, figures, notes)


def _judge(context: StepContext, rules: Sequence[GateRule], figures: Sequence[Measurement], digest: str) -> Verdict:
    ours = [figure for figure in figures if figure.artefact == digest]
    dense = context.artefacts["dense_gguf"]
    theirs = {figure.name: figure for figure in (*context.figures, *figures) if figure.artefact == dense}
    return judge(rules, ours, list(theirs.values()))


def _quality(context: StepContext, path: Path, digest: str) -> list[Measurement]:
    nll_NT = nll_in_llamacpp(context, path, take_array(context, "windows", "heldout"))
    baseline_NT = take_array(context, "likelihoods", "dense_gguf")
    settings = context.recipe.evaluate
    ratio = paired_ratio(nll_NT, baseline_NT, seed=settings.seed, num_resamples=settings.num_resamples)
    return [
        summarise(context, nll_NT).measurement(artefact=digest, name="perplexity_gguf"),
        ratio.measurement(artefact=digest),
    ]


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
    figures += file_figures(report, artefact=digest, num_weights=int(context.notes["seed"]["num_weights"]))
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
