"""What `compress plan` does."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ByteSize, TypeAdapter, ValidationError

from birdbone.cli.compress.bars import Told, part_bar, part_of
from birdbone.cli.compress.sampling import JudgedSample
from birdbone.cli.errors import UsageError
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.output import talk
from birdbone.compress.clusters import require_biophase
from birdbone.compress.config import BlockwiseConfig, PlanConfig, ProfileName, Target
from birdbone.compress.errors import EngineAbsentError
from birdbone.compress.plan import PROFILES, Ground
from birdbone.compress.plan.cache import PlanCache
from birdbone.compress.plan.forecast import Forecast, Forecaster, forecast_from_data
from birdbone.compress.plan.making import Text, make_plan
from birdbone.compress.plan.measuring import Evidence, Measurer, Subject
from birdbone.compress.plan.outcome import Outcome, compare
from birdbone.compress.plan.recommend import Budget, recommend
from birdbone.compress.plan.timing import open_child
from birdbone.core import digest_file, digest_json, find_workspace
from birdbone.core.errors import WorkspaceError
from birdbone.data import load_texts, token_windows
from birdbone.evaluate.benchmarks.opening import find_candidate
from birdbone.models import LoadedModel, load_model, use_threads
from birdbone.models.gguf.names import LAYERED_FAMILIES, family_of
from birdbone.models.llamacpp import file_nll
from birdbone.watch import choose_num_threads, describe_hardware
from birdbone.watch.hardware_profile import HardwareProfile, profile_hardware

_CONTEXT = 2048
"""Tokens whose keys and values have to fit beside the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asked for, checked."""

    budget: Budget
    target: Target
    profile: ProfileName
    config: PlanConfig
    out: Path | None
    is_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What planning came to; `outcome` is None where the plan was not carried out."""

    model: str
    asked: Asked
    sample: JudgedSample
    budget: Budget
    hardware: HardwareProfile
    num_threads: int
    evidence: Evidence
    forecaster: Forecaster
    front: tuple[Forecast, ...]
    chosen: Forecast
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A model in hand, and all that is asked of it."""

    subject: Subject
    heldout_NT: NDArray[np.int64]
    asked: Asked
    budget: Budget
    hardware: HardwareProfile
    num_threads: int
    cache: PlanCache
    ground: Ground


def asked_for(
    *,
    max_bytes: str | None,
    max_loss: str | None,
    max_ms: float | None,
    target: str,
    profile: str,
    num_healing_steps: int,
    num_trials: int,
    seed: int,
    out: Path | None,
    is_run: bool,
) -> Asked:
    """Return the settings of what a person typed.

    Raises:
        UsageError: a word or a number that does not read, or a file to write without a name.
    """
    if is_run and out is None:
        raise UsageError("Say which file the plan writes (--out FILE.gguf) where it is carried out (--run).")
    name: ProfileName = one_of(profile, ProfileName, "--profile")
    return Asked(
        budget=Budget(
            max_bytes=None if max_bytes is None else _bytes_of(max_bytes),
            max_ratio=None if max_loss is None else 1 + _share_of(max_loss),
            max_seconds=None if max_ms is None else max_ms / 1000,
            goal="bytes" if max_loss is not None and max_bytes is None and max_ms is None else "loss",
        ),
        target=one_of(target, Target, "--target"),
        profile=name,
        config=PlanConfig(
            types=PROFILES[name].types, num_healing_steps=num_healing_steps, num_trials=num_trials, seed=seed
        ),
        out=out,
        is_run=is_run,
    )


def plan(model: str, asked: Asked, *, sample: JudgedSample, cache: Path | None, num_threads: int | None) -> Found:
    """Return the front of plans, the one to take, and, where it is carried out, what it came to.

    Raises:
        BiophaseMissingError: the extra that searches is not installed.
        EngineAbsentError: nothing can be measured on the target.
        UnmetBudgetError: no plan keeps the budgets (says what can).
        ModelError, DataError, CompressError, EngineError: the model, the text, or a step on them.
    """
    require_biophase(("optuna",))
    _require_target(asked.target)
    threads = min(num_threads or choose_num_threads(), PROFILES[asked.profile].num_threads)
    before = use_threads(threads)
    try:
        with part_bar() as tell:
            job = _open_job(model, asked, sample, cache=cache, num_threads=threads)
            for note in job.hardware.power.notes:
                talk(f"note: {note}")
            return _plan(job, sample, tell)
    finally:
        use_threads(before)


def _open_job(model: str, asked: Asked, sample: JudgedSample, *, cache: Path | None, num_threads: int) -> _Job:
    loaded = load_model(model)
    family_of(loaded.model.config.model_type)  # a family without a form in GGUF is refused before anything is measured
    subject, heldout_NT = _open_subject(model, loaded, sample)
    return _Job(
        subject=subject,
        heldout_NT=heldout_NT,
        asked=asked,
        budget=_whole_budget(asked, loaded),
        hardware=profile_hardware(num_threads=num_threads),
        num_threads=num_threads,
        cache=PlanCache(cache or _cache_folder()),
        ground=Ground(target=asked.target, holds_differing_layers=loaded.model.config.model_type in LAYERED_FAMILIES),
    )


def _plan(job: _Job, sample: JudgedSample, tell: Told) -> Found:
    subject, config = job.subject, job.asked.config
    measurer = Measurer(
        subject,
        config,
        hardware_digest=job.hardware.digest,
        num_threads=job.num_threads,
        cache=job.cache,
        ground=job.ground,
        tell=tell,
    )
    evidence = measurer.measure()
    forecaster = Forecaster(subject.loaded, evidence, config)
    front = _front(job, measurer, forecaster, tell)
    chosen = recommend(front, job.budget)
    outcome = None if job.asked.out is None else _carry_out(job, measurer, forecaster, chosen, tell)
    return Found(
        model=subject.loaded.name,
        asked=job.asked,
        sample=sample,
        budget=job.budget,
        hardware=job.hardware,
        num_threads=job.num_threads,
        evidence=evidence,
        forecaster=forecaster,
        front=front,
        chosen=chosen,
        outcome=outcome,
    )


def _front(job: _Job, measurer: Measurer, forecaster: Forecaster, tell: Told) -> tuple[Forecast, ...]:
    """Return the front: searched now, or as it was found before from the same evidence."""
    from birdbone.compress.plan.search import plan_space, search_plans

    evidence = {"latency": forecaster.latency.coefficients, "loss": forecaster.loss.coefficients}
    basis = {
        "text": measurer.text_basis,
        "machine": measurer.machine_basis,
        "settings": job.asked.config.model_dump(mode="json"),
        "evidence": digest_json(evidence),
    }
    shelf = job.cache.shelf("search", basis)
    kept = shelf.find("front")
    if kept is None:
        space = plan_space(forecaster, job.ground)
        result = search_plans(forecaster, space, progress=lambda done, total: tell("plans looked at", done, total))
        kept = [found.to_data() for found in result.front]
        shelf.keep("front", kept)
    return tuple(forecast_from_data(data) for data in kept)


def _carry_out(job: _Job, measurer: Measurer, forecaster: Forecaster, chosen: Forecast, tell: Told) -> Outcome:
    out, subject = job.asked.out, job.subject
    assert out is not None, "a plan is carried out into a file"
    layout = forecaster.drafter.draft(chosen.plan)
    made = make_plan(subject.loaded, measurer.graph, chosen.plan, layout, subject.text, job.asked.config, tell=tell)
    report = made.write(out)
    with tempfile.TemporaryDirectory(prefix="birdbone-plan-") as folder:
        reference = measurer.write_reference(Path(folder))
        nll = {path: _judge_file(path, job, tell) for path in (out, reference)}
        tell("timed in llama.cpp", 0, 1)
        with open_child(measurer.timing_order(reference)) as timer:
            turns = timer.time(out.resolve())
    return compare(
        chosen,
        artefact=digest_file(out),
        size_bytes=report.size_bytes,
        turns=turns,
        nll_NP=nll[out],
        reference_nll_NP=nll[reference],
        predicted_ratio_of_time=forecaster.latency.ratio(forecaster.features(layout)),
        limits=report.limits,
    )


def _judge_file(path: Path, job: _Job, tell: Told) -> NDArray[np.float64]:
    progress = part_of(tell, f"judged in llama.cpp: {path.name}")
    return file_nll(path, job.heldout_NT, num_threads=job.num_threads, progress=progress)


def _open_subject(model: str, loaded: LoadedModel, sample: JudgedSample) -> tuple[Subject, NDArray[np.int64]]:
    """Return the model with its text, and the windows that a plan is judged on when it was carried out.

    The first windows of the healing split heal; those after them judge plans while they are fitted.
    """
    corpus, num_healing = load_texts(sample.source), BlockwiseConfig().num_windows
    calibration_NT = token_windows(corpus.calibration, loaded.encode, window=sample.window, count=sample.num_windows)
    more_NT = token_windows(corpus.healing, loaded.encode, window=sample.window, count=num_healing + sample.num_judged)
    heldout_NT = token_windows(corpus.heldout, loaded.encode, window=sample.window, count=sample.num_judged)
    subject = Subject(
        loaded=loaded,
        digest=find_candidate(model, engine="torch", dtype="float32").artefact,
        text=Text(calibration_NT=torch.from_numpy(calibration_NT), healing_NT=torch.from_numpy(more_NT[:num_healing])),
        judged_NT=torch.from_numpy(more_NT[num_healing:]),
    )
    return subject, heldout_NT


def _whole_budget(asked: Asked, loaded: LoadedModel) -> Budget:
    """Return what was asked for, with the memory of the profile, and its size where nothing was asked for."""
    profile, budget = PROFILES[asked.profile], asked.budget
    limits = [budget.max_bytes] if budget.max_bytes is not None else []
    if profile.memory_bytes is not None:
        limits.append(profile.memory_bytes - _cache_bytes(loaded))
    if budget == Budget() and profile.file_share < 1:
        num_weights = sum(parameter.numel() for parameter in loaded.model.parameters())
        limits.append(int(2 * profile.file_share * num_weights))
    return replace(budget, max_bytes=min(limits)) if limits else budget


def _cache_bytes(loaded: LoadedModel) -> int:
    """Return the bytes of keys and values in F16 for the context that has to fit."""
    architecture = loaded.architecture
    rows = sum(layer.num_kv_heads for layer in architecture.layers) * architecture.head_dim
    return 2 * 2 * rows * min(_CONTEXT, architecture.context_length)


def _require_target(target: Target) -> None:
    if target == "gpu":
        gpus = describe_hardware().gpus
        where = f"This machine has {', '.join(gpus)}, but its" if gpus else "This machine has no GPU, and its"
        raise EngineAbsentError(f"{where} llama.cpp computes on the processor: nothing can be measured.", target=target)


def _cache_folder() -> Path:
    try:
        return find_workspace().folder / "plans"
    except WorkspaceError:
        base = os.environ.get("XDG_CACHE_HOME")
        return (Path(base) if base else Path.home() / ".cache") / "birdbone" / "plans"


def _bytes_of(words: str) -> int:
    try:
        found = int(TypeAdapter(ByteSize).validate_python(words))
    except ValidationError as error:
        raise UsageError(f"--max-bytes takes a size such as 90M or 80MiB; {words!r} came.") from error
    if found < 1:
        raise UsageError(f"--max-bytes is above 0; {words!r} came.")
    return found


def _share_of(words: str) -> float:
    text = words.strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = float("nan")
    if not 0 <= share < 100:
        raise UsageError(f"--max-loss takes a share such as 3% or 0.03; {words!r} came.")
    return share
