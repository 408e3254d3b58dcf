"""The waves of a run as the page tells them: what each measured, what it was held against, and what became of it.

Theory of operation. A wave's own verdict is not its fate. A wave on probation is kept if a later one is good, undone if
the stop-loss takes it with the next, and left out if the waves end before either. A good wave is set aside if the gate
rejects what was made of it and the run goes back to an earlier one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from birdbone.core import Measurement
from birdbone.pipeline.report.wave_evidence import NextWave, WaveEvidence, read_evidence, read_next
from birdbone.pipeline.repository import StepRow
from birdbone.pipeline.service import RunView
from birdbone.pipeline.wave_history import STOPPED
from birdbone.watch import Metric

Fate = Literal["kept", "undone", "left out", "set aside", "unfinished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """One wave. What is None or empty was not measured, or did not happen."""

    number: int
    label: str
    """Label of the step."""
    verdict: str | None
    """Of the stop-loss: `good`, `probation` or `undone`; None while the wave is unfinished."""
    fate: Fate
    reason: str
    """Of the verdict, or the error of an unfinished wave."""
    perplexity: Measurement | None
    ratio: Measurement | None
    """Its perplexity over the dense model's, paired."""
    sparsity: Measurement | None
    last_good: Measurement | None
    """Perplexity of the last good state before the wave."""
    limit: float | None
    """Perplexity beyond which the wave was not good."""
    perplexity_before_regrowth: float | None
    """Where weights were regrown: the perplexity that called for it."""
    num_regrown: int | None
    errors_before: tuple[float, ...]
    """Relative squared error of each block's output before healing."""
    errors_after: tuple[float, ...]
    """The same after healing."""
    sparsity_by_linear: Mapping[str, float]
    evidence: WaveEvidence
    """Its plan, its forecast, damage by layer, spikes."""
    doing: str
    """What an unfinished wave is at; empty otherwise."""


def read_waves(view: RunView, metrics: Sequence[Metric] = ()) -> tuple[Wave, ...]:
    """Return the waves of a run in order.

    Args:
        metrics: what steps logged; an unfinished wave left its healing errors only there.
    """
    stop_loss = _stop_loss(view.run.recipe)
    dense = view.figure("perplexity", view.artefacts.get("dense")) if "dense" in view.artefacts else None
    base = view.figure("perplexity", view.artefacts["base"]) if "base" in view.artefacts else None
    last_good, waves = base or dense, []
    for number, step in enumerate(_newest_waves(view), start=1):
        limit = _limit(last_good, dense, stop_loss)
        wave = _read_wave(view, step, number, metrics)
        waves.append(replace(wave, last_good=last_good, limit=limit))
        last_good = wave.perplexity if wave.verdict == "good" else last_good
    return _with_fates(waves, exported_wave(view), is_ended_by_hand=_is_ended_by_hand(view))


def next_wave_of(view: RunView) -> NextWave | None:
    """Return what the newest finished wave noted of the one to come; None if it noted nothing, or if one is in hand."""
    steps = _newest_waves(view)
    if not steps or steps[-1].result is None or _is_ended_by_hand(view):
        return None
    return read_next(steps[-1].result.get("notes", {}))


def exported_wave(view: RunView) -> int | None:
    """Return the wave whose state the run exported (0: what they started from); None if it exported nothing."""
    judged = [step.result["notes"] for step in view.steps if step.kind == "judge" and step.result]
    if not judged:
        return None
    notes = judged[-1]
    if "fell_back_to_wave" in notes:
        return int(notes["fell_back_to_wave"])
    return None if notes.get("is_rejected") else int(notes["wave"])


def chosen_wave(waves: Sequence[Wave], exported: int | None) -> Wave | None:
    """Return the wave whose state counts: the exported one, else the newest kept; None if it is none of them."""
    if exported is not None:
        return next((wave for wave in waves if wave.number == exported), None)
    kept = [wave for wave in waves if wave.fate == "kept" and wave.verdict == "good"]
    return kept[-1] if kept else None


def _newest_waves(view: RunView) -> list[StepRow]:
    """Return the waves that count: after a retry, those before it were done again."""
    begin = 0
    for place, step in enumerate(view.steps):
        retry = (step.result or {}).get("notes", {}).get("retry") or {}
        begin = place if retry.get("go_back_to") == "waves" else begin
    return [step for step in view.steps[begin:] if step.kind == "waves" and not _is_end(step)]


def _is_end(step: StepRow) -> bool:
    """Return whether a round made no wave, as the waves were ended by hand."""
    return bool((step.result or {}).get("notes", {}).get("verdict") == STOPPED)


def _is_ended_by_hand(view: RunView) -> bool:
    return any(_is_end(step) for step in view.steps if step.kind == "waves")


def _read_wave(view: RunView, step: StepRow, number: int, metrics: Sequence[Metric]) -> Wave:
    notes: dict[str, Any] = (step.result or {}).get("notes", {})
    figures = {row.name: row for row in view.measurements if row.step == step.label}
    num_regrown = notes.get("num_regrown")
    return Wave(
        number=int(notes.get("wave", number)),
        label=step.label,
        verdict=notes.get("verdict"),
        fate="unfinished",
        reason=str(notes.get("reason") or (step.error or {}).get("message") or ""),
        perplexity=figures.get("perplexity"),
        ratio=figures.get("perplexity_ratio"),
        sparsity=figures.get("sparsity"),
        last_good=None,
        limit=None,
        perplexity_before_regrowth=notes.get("perplexity_after_heal") if num_regrown else None,
        num_regrown=num_regrown,
        errors_before=tuple(notes.get("healing_errors_before") or ()),
        errors_after=tuple(notes.get("healing_errors_after") or _logged_errors(metrics, step.label)),
        sparsity_by_linear=notes.get("sparsity_by_linear") or {},
        evidence=read_evidence(notes),
        doing=_doing(step),
    )


def _doing(step: StepRow) -> str:
    progress = step.progress or {}
    if not progress:
        return ""
    return f"{progress['what']} {progress['done']}/{progress['total']}" if progress["total"] else str(progress["what"])


def _logged_errors(metrics: Sequence[Metric], label: str) -> list[float]:
    """Return the errors up to the first that is not finite: what follows a diverged block says nothing."""
    rows = [row for row in metrics if row.name == "healing_error" and row.phase == label]
    values = [row.value for row in sorted(rows, key=lambda row: row.step)]
    return list(itertools.takewhile(math.isfinite, values))


def _with_fates(waves: Sequence[Wave], exported: int | None, *, is_ended_by_hand: bool) -> tuple[Wave, ...]:
    """Walk backwards: the next decision after a wave on probation is its fate."""
    told: list[Wave] = []
    probation: Fate = "undone" if is_ended_by_hand else "left out"
    for wave in reversed(waves):
        probation = "kept" if wave.verdict == "good" else "undone" if wave.verdict == "undone" else probation
        fate: Fate = "unfinished" if wave.verdict is None else probation
        is_beyond = exported is not None and wave.number > exported
        told.append(replace(wave, fate="set aside" if fate == "kept" and is_beyond else fate))
    return tuple(reversed(told))


def _stop_loss(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    steps = [step for step in recipe.get("steps", ()) if step.get("kind") == "waves"]
    return steps[0].get("stop_loss", {}) if steps else {}


def _limit(last_good: Measurement | None, dense: Measurement | None, stop_loss: Mapping[str, Any]) -> float | None:
    if last_good is None or dense is None or not {"max_rise", "max_total_rise"} <= stop_loss.keys():
        return None
    rise, total_rise = float(stop_loss["max_rise"]), float(stop_loss["max_total_rise"])
    return min(last_good.value * (1 + rise), dense.value * (1 + total_rise))
