"""Questions that lm-eval asks, as tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birdbone.evaluate.benchmarks.catalogue import BENCHMARKS, Question
from birdbone.evaluate.benchmarks.harness import SEED, ask, harness_version
from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.benchmarks.local_items import items_digest, read_items
from birdbone.evaluate.benchmarks.results import BenchmarkResult

HUB = "hub"
"""What `items_source` says of items that lm-eval fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessTask:
    """A question that lm-eval asks, as a task."""

    question: Question
    items_folder: Path | None
    """Where the files of items lie; None takes them from the hub."""

    @property
    def name(self) -> str:
        """That of the benchmark."""
        return self.question.benchmark

    @property
    def identity(self) -> Mapping[str, Any]:
        """The question, lm-eval's version and the items. Raises MissingBenchmarkError."""
        asked = {"benchmark": self.name, "num_fewshot": self.question.num_fewshot, "limit": self.question.limit}
        return {**asked, "lm_eval": harness_version(), "seed": SEED, "items": self._source()}

    def ask(self, judge: Judge, *, artefact: str, progress: Progress | None) -> BenchmarkResult:
        """Return the result. Raises BadBenchmarkError."""
        items = read_items(self.items_folder, self.name) if self.items_folder is not None else None
        scores, versions, num_shortened = ask(judge, self.question, items, progress=progress)
        tasks = ", ".join(f"{name} {version}" for name, version in sorted(versions.items())[:3])
        more = f" and {len(versions) - 3} more" if len(versions) > 3 else ""
        return BenchmarkResult(
            benchmark=self.name,
            artefact=artefact,
            metric=BENCHMARKS[self.name].metric,
            num_fewshot=self.question.num_fewshot,
            limit=self.question.limit,
            harness=f"lm-eval {harness_version()}: {tasks}{more}",
            items_source=self._source(),
            settings=dict(judge.settings),
            items=tuple(scores),
            num_shortened=num_shortened,
        )

    def _source(self) -> str:
        return items_digest(self.items_folder, self.name) if self.items_folder is not None else HUB


def harness_tasks(questions: Iterable[Question], items_folder: Path | None) -> Iterator[HarnessTask]:
    """Yield the questions as tasks.

    Args:
        questions: what is asked.
        items_folder: where the files of items lie; None lets lm-eval fetch them from the hub.
    """
    return (HarnessTask(question=question, items_folder=items_folder) for question in questions)
