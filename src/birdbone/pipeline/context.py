"""What a step is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from birdbone.core import Measurement, Strict
from birdbone.pipeline.recipe import Recipe
from birdbone.vault import Vault
from birdbone.watch import MetricSink


class StepResult(Strict):
    """What a step gives: plain data, so that it can be kept and given again after a crash."""

    artefacts: dict[str, str] = Field(default_factory=dict)
    """Digests in the vault, by the name under which later steps find them."""
    measurements: tuple[Measurement, ...] = ()
    """Figures, each taken on a stored artefact."""
    notes: dict[str, Any] = Field(default_factory=dict)
    """Plain facts for later steps and for the report."""
    go_back_to: str | None = None
    """Kind of an earlier step from which the run has to go on, such as after a failed gate."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """Settings of the recipe that are others from here on, by their paths: a retry. What the steps from `go_back_to` on
    gave is then left out of what later steps see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a step may use. It reads artefacts by name, works in its own scratch folder, and reports progress."""

    run_id: str
    label: str
    round: int
    """0 for a step's first round; waves count on."""
    recipe: Recipe
    vault: Vault
    scratch: Path
    """An empty folder, removed after the step."""
    run_folder: Path
    sink: MetricSink
    artefacts: dict[str, str] = field(default_factory=dict)
    """Digests given by earlier steps, the newest of each name."""
    history: tuple[StepResult, ...] = ()
    """Results of earlier rounds of this step."""
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Notes of earlier steps, by label, in the order in which they ran."""
    figures: tuple[Measurement, ...] = ()
    """Figures of earlier steps."""
    report_progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None
    wait_for_leave: Callable[[], bool] = lambda: True
    """Waits while a person holds the waves of the run, and says whether another one is to be made."""

    def with_artefacts(self, artefacts: dict[str, str]) -> StepContext:
        """Return the same context with more artefacts, for a step that loads again what it has just stored."""
        return replace(self, artefacts=self.artefacts | artefacts)

    def progress(self, what: str) -> Callable[[int, int], None]:
        """Return a callback (done, total) for one part of the step. It is also where a stop request takes effect."""
        return lambda done, total: self.report_progress(what, done, total)
