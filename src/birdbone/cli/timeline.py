"""Runs and their steps as rows: how far they are, how long it took, what came of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from birdbone.cli import words
from birdbone.cli.output import new_table
from birdbone.core import Measurement
from birdbone.pipeline.repository import RunRow, StepRow
from birdbone.pipeline.service import RunView

INTERRUPTED = "interrupted"
"""A run that is marked as running, but no process of this machine works on it: it can be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step as people want to see it. None: not measured, or the process died in it."""

    label: str
    status: str
    seconds: float | None
    num_tries: int
    perplexity: float | None
    perplexity_ratio: float | None
    sparsity: float | None
    verdict: str
    doing: str


def step_lines(view: RunView, *, is_at_work: bool = False) -> list[StepLine]:
    """Return a line for each step of a run."""
    return [_step_line(view, step, is_at_work=is_at_work) for step in view.steps]


def state_of(run: RunRow, *, is_at_work: bool) -> str:
    """Return where a run stands: its status, or `interrupted` if it is marked as running and nobody works on it."""
    return INTERRUPTED if run.status == "running" and not is_at_work else run.status


def seconds_of(view: RunView, *, is_at_work: bool) -> float:
    """Return how long a run's steps took together; the time in which it lay stopped does not count."""
    return sum(_seconds(step, is_at_work=is_at_work) or 0.0 for step in view.steps)


def run_data(view: RunView, *, is_at_work: bool) -> dict[str, Any]:
    """Return a run with its steps and figures as plain data."""
    run = view.run
    return {
        "run": run.id,
        "status": state_of(run, is_at_work=is_at_work),
        "model": run.recipe.get("model"),
        "created_at": run.created_at.isoformat(),
        "seconds": seconds_of(view, is_at_work=is_at_work),
        "error": without_trace(run.error),
        "steps": [asdict(line) for line in step_lines(view, is_at_work=is_at_work)],
        "artefacts": view.artefacts,
        "measurements": [row.model_dump(mode="json") for row in view.measurements],
        "folder": str(view.folder),
    }


def runs_table(views: list[RunView], at_work: set[str]) -> Table:
    """Return a table of runs."""
    rows = [_run_cells(view, is_at_work=view.run.id in at_work) for view in views]
    return new_table(("run", "status", "model", "started", "steps done", "took", "verdict"), rows)


def steps_table(view: RunView, *, is_at_work: bool) -> Table:
    """Return a table of the steps of a run."""
    columns = ("step", "status", "took", "tries", "perplexity", "rise", "sparsity", "verdict", "note")
    rows = [_step_cells(line) for line in step_lines(view, is_at_work=is_at_work)]
    shown = [index for index in range(len(columns)) if index < 3 or any(row[index] for row in rows)]
    return new_table([columns[index] for index in shown], [[row[index] for index in shown] for row in rows])


def without_trace(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a stored error as people may see it."""
    return None if error is None else {key: value for key, value in error.items() if key != "trace"}


def _step_line(view: RunView, step: StepRow, *, is_at_work: bool) -> StepLine:
    figures = {row.name: row for row in view.measurements if row.step == step.label}
    perplexity = figures.get("perplexity") or figures.get("perplexity_gguf")
    progress = step.progress or {}
    doing = f"{progress['what']} {progress['done']}/{progress['total']}" if progress else ""
    return StepLine(
        label=step.label,
        status="stopped" if (step.error or {}).get("kind") == "cancelled" else step.status,
        seconds=_seconds(step, is_at_work=is_at_work),
        num_tries=step.num_tries,
        perplexity=_value(perplexity),
        perplexity_ratio=_value(figures.get("perplexity_ratio")),
        sparsity=_value(figures.get("sparsity")),
        verdict=", ".join(filter(None, (_verdict(step), *view.overridden(step.label)))),
        doing=doing or str((step.error or {}).get("message", "")),
    )


def _verdict(step: StepRow) -> str:
    """Return what a step's verdict came to; one that aborted the run left it in its error."""
    return words.verdict(step.result.get("notes", {}) if step.result else step.error or {})


def _step_cells(line: StepLine) -> tuple[str, ...]:
    return (
        line.label,
        line.status,
        words.duration(line.seconds),
        str(line.num_tries) if line.num_tries > 1 else "",
        "" if line.perplexity is None else words.number(line.perplexity),
        "" if line.perplexity_ratio is None else words.rise(line.perplexity_ratio),
        "" if line.sparsity is None else f"{100 * line.sparsity:.1f} %",
        line.verdict,
        line.doing,
    )


def _run_cells(view: RunView, *, is_at_work: bool) -> tuple[str, ...]:
    verdicts = [line.verdict for line in step_lines(view) if line.label.startswith("judge") and line.verdict]
    return (
        view.run.id,
        state_of(view.run, is_at_work=is_at_work),
        str(view.run.recipe.get("model", "")),
        words.moment(view.run.created_at),
        str(sum(step.status == "done" for step in view.steps)),
        words.duration(seconds_of(view, is_at_work=is_at_work)),
        verdicts[-1] if verdicts else "",
    )


def _seconds(step: StepRow, *, is_at_work: bool) -> float | None:
    if step.ended_at is None and not is_at_work:
        return None  # its process died; nobody wrote down when
    end = step.ended_at or dt.datetime.now(dt.UTC)
    return max(0.0, (end - step.started_at).total_seconds())


def _value(row: Measurement | None) -> float | None:
    return None if row is None else row.value
