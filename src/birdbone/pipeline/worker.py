"""Doing one step: its scratch folder, its metric sink, its function. Knows nothing of durability."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from birdbone.core import Measurement, Workspace
from birdbone.core.database import connect
from birdbone.pipeline.catalogue import load_step
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import Recipe
from birdbone.pipeline.wave_requests import wait_for_leave
from birdbone.vault import Vault
from birdbone.watch import StoreSink


@dataclass(frozen=True, slots=True, kw_only=True)
class StepJob:
    """What is to be done: which step and round, and what the steps before it gave. Plain data."""

    run_id: str
    label: str
    kind: str
    position: int
    round: int
    artefacts: dict[str, str]
    history: tuple[StepResult, ...]
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: tuple[Measurement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Where steps are done: a workspace, its vault, and the URL of its database."""

    workspace: Workspace
    vault: Vault
    database_url: str

    def perform(self, job: StepJob, recipe: Recipe, *, report_progress: Callable[[str, int, int], None]) -> StepResult:
        """Do one step and return what it gives. Its scratch folder is empty before and gone after."""
        run_folder = self.workspace.run_folder(job.run_id)
        run_folder.mkdir(parents=True, exist_ok=True)
        settings = recipe.step(job.kind)
        engine = connect(self.database_url)
        sink = StoreSink(engine, job.run_id, phase=job.label)
        scratch = _empty_folder(run_folder / "scratch")
        try:
            context = StepContext(
                run_id=job.run_id,
                label=job.label,
                round=job.round,
                recipe=recipe,
                vault=self.vault,
                scratch=scratch,
                run_folder=run_folder,
                sink=sink,
                artefacts=job.artefacts,
                history=job.history,
                notes=job.notes,
                figures=job.figures,
                report_progress=report_progress,
                wait_for_leave=lambda: wait_for_leave(engine, job.run_id, job.label, report_progress),
            )
            return load_step(job.kind)(context, settings)
        finally:
            sink.close()
            shutil.rmtree(scratch, ignore_errors=True)


def _empty_folder(folder: Path) -> Path:
    """Return the folder, empty: whatever a process that was killed left in it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
