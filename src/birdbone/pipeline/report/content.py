"""What the page says, gathered from the rows of a run. Pure: no file, no clock, the same rows give the same content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from birdbone.core import Measurement
from birdbone.pipeline.citations import Citation, cite_run
from birdbone.pipeline.report.cuts import Cut, read_cuts
from birdbone.pipeline.report.linears import LinearGrid, linear_grid, relative_to_kind
from birdbone.pipeline.report.rounding import Rounding, read_rounding
from birdbone.pipeline.report.summary import ComparedFiles, SummaryRow, compared_files, summary_rows
from birdbone.pipeline.report.wave_evidence import NextWave, damage_grid
from birdbone.pipeline.report.waves import Wave, chosen_wave, exported_wave, next_wave_of, read_waves
from birdbone.pipeline.repository import RunRow, StepRow
from birdbone.pipeline.service import RunView
from birdbone.watch import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportVerdict:
    """What the gate said of the exported file; `none` where no gate was reached."""

    outcome: str
    """`pass`, `warn`, `fail` or `none`."""
    reasons: tuple[str, ...]
    """Why; and which rules a person let through, where one did."""
    is_let_through: bool = False
    """Whether the file was exported although it failed, as its failures were overridden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A candidate that its gate did not let through, with what was measured on it."""

    step: str
    wave: int
    reasons: tuple[str, ...]
    ratio: Measurement | None
    speedup: Measurement | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """A step on the timeline."""

    step: StepRow
    seconds: float | None
    """Of the last try; None while it is in hand, or where it was cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything that the page shows."""

    run: RunRow
    model_name: str
    facts: Mapping[str, Any]
    """Notes of `seed`: family, layers, licence, weights."""
    files: ComparedFiles
    rows: tuple[SummaryRow, ...]
    engine_ratio: Measurement | None
    """The dense F16 file in llama.cpp over the dense model in torch."""
    verdict: ReportVerdict
    exported_name: str | None
    exported_wave: int | None
    dense: Measurement | None
    """Perplexity of the dense model in torch."""
    cuts: tuple[Cut, ...]
    waves: tuple[Wave, ...]
    chosen: Wave | None
    """The wave whose state counts."""
    next_wave: NextWave | None
    """What was planned after the newest wave."""
    own_damage: LinearGrid | None
    """Own damage of each layer, one row a wave."""
    propagated_damage: LinearGrid | None
    sparsity: LinearGrid | None
    importance: LinearGrid | None
    """Mean score a linear, over the mean of its kind."""
    importance_step: str
    rejections: tuple[Rejection, ...]
    steps: tuple[StepTime, ...]
    evidence: tuple[Measurement, ...]
    """Every figure of the run, in the order in which they were taken."""
    citations: tuple[Citation, ...]
    """Works that the finished steps rest on."""
    rounding: Rounding | None
    unfinished: str | None
    """Label of the step that failed, was stopped or is in hand."""
    error: Mapping[str, Any] | None
    """What went wrong; None for a run that was stopped or is in hand."""

    @property
    def base_words(self) -> str:
        """What waves and bits started from."""
        return "what the cuts left" if any(cut.verdict == "good" for cut in self.cuts) else "the dense model"

    @property
    def fell_back(self) -> bool:
        """Whether no rounded file passed, so that a float state was exported."""
        return self.verdict.outcome == "fail" and self.exported_name is not None and not self.verdict.is_let_through

    def row(self, name: str) -> SummaryRow:
        """Return the row of that name.

        Raises:
            KeyError: the summary has no such row.
        """
        return {row.name: row for row in self.rows}[name]


def build_report(view: RunView, *, metrics: Sequence[Metric] = ()) -> ReportData:
    """Return what the page says about a run in any state: done, failed, stopped or in hand.

    Args:
        metrics: what steps logged (`birdbone.watch.read_metrics`); only an unfinished wave needs them.
    """
    seed = _notes(view, "seed")
    waves, exported = read_waves(view, metrics), exported_wave(view)
    chosen = chosen_wave(waves, exported)
    importance, importance_step = _importance(view)
    return ReportData(
        run=view.run,
        model_name=str(seed.get("name") or view.run.recipe.get("model", "")),
        facts=seed,
        files=compared_files(view),
        rows=tuple(summary_rows(view)),
        engine_ratio=view.figure("engine_ratio"),
        verdict=_verdict(view),
        exported_name=_notes(view, "judge").get("exported"),
        exported_wave=exported,
        dense=view.figure("perplexity", view.artefacts.get("dense", "")),
        cuts=read_cuts(view),
        waves=waves,
        chosen=chosen,
        next_wave=next_wave_of(view),
        own_damage=damage_grid([(f"wave {wave.number}", wave.evidence.own_damage) for wave in waves]),
        propagated_damage=damage_grid([(f"wave {wave.number}", wave.evidence.propagated_damage) for wave in waves]),
        sparsity=_sparsity(chosen, order=importance.kinds if importance else ()),
        importance=importance,
        importance_step=importance_step,
        rejections=_rejections(view),
        steps=tuple(StepTime(step=step, seconds=_seconds(step)) for step in view.steps),
        evidence=view.measurements,
        citations=tuple(cite_run(view)),
        rounding=read_rounding(view),
        unfinished=_unfinished(view),
        error=_error(view),
    )


def _notes(view: RunView, kind: str) -> dict[str, Any]:
    """Return the notes of the newest finished step of that kind."""
    found = [step.result.get("notes", {}) for step in view.steps if step.kind == kind and step.result]
    return dict(found[-1]) if found else {}


def _verdict(view: RunView) -> ReportVerdict:
    if view.judged is None:
        return ReportVerdict(outcome="none", reasons=())
    step, notes = view.judged
    return ReportVerdict(
        outcome=str(notes["verdict"]["outcome"]),
        reasons=(*_reasons(notes["verdict"]), *view.overridden(step.label)),
        is_let_through=bool(notes.get("overrides")),
    )


def _reasons(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(finding["reason"]) for finding in verdict.get("findings", ()))


def _retry(notes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what was changed before the next try, if one was made."""
    if "retry" not in notes:
        return ()
    changes = ", ".join(f"{each['path']} {each['after']}" for each in notes["retry"]["changes"])
    return (f"tried again with {changes}",)


def _rejections(view: RunView) -> tuple[Rejection, ...]:
    judged = [(step.label, step.result["notes"]) for step in view.steps if step.kind == "judge" and step.result]
    figures = {(row.step, row.name): row for row in view.measurements}
    return tuple(
        Rejection(
            step=label,
            wave=int(notes["wave"]),
            reasons=(*_reasons(notes["verdict"]), *_retry(notes)),
            ratio=figures.get((label, "perplexity_ratio")),
            speedup=figures.get((label, "decode_speedup")),
        )
        for label, notes in judged
        if notes.get("is_rejected")
    )


def _importance(view: RunView) -> tuple[LinearGrid | None, str]:
    """Return the newest importance by linear that a step left, relative to its kind, and that step's label."""
    for step in reversed(view.steps):
        grid = linear_grid((step.result or {}).get("notes", {}).get("importance_by_linear") or {})
        if grid is not None:
            return relative_to_kind(grid), step.label
    return None, ""


def _unfinished(view: RunView) -> str | None:
    labels = [step.label for step in view.steps if step.status != "done"]
    return labels[-1] if labels and view.run.status != "done" else None


def _error(view: RunView) -> Mapping[str, Any] | None:
    """Return the error of a failed run: its own, or that of its last failed step."""
    if view.run.status != "failed":
        return None
    errors = [step.error for step in view.steps if step.status == "failed" and step.error]
    return view.run.error or (errors[-1] if errors else None)


def _sparsity(wave: Wave | None, *, order: Sequence[str]) -> LinearGrid | None:
    return None if wave is None else linear_grid(wave.sparsity_by_linear, order=order)


def _seconds(step: StepRow) -> float | None:
    if step.ended_at is None:
        return None
    return (step.ended_at - step.started_at).total_seconds()
