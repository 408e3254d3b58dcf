"""A suite asked of a model through lm-eval, each question only once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birdbone.evaluate.benchmarks.catalogue import BENCHMARKS, Question
from birdbone.evaluate.benchmarks.harness import SEED, ask, harness_version
from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.benchmarks.local_items import items_digest, read_items
from birdbone.evaluate.benchmarks.results import BenchmarkResult
from birdbone.evaluate.benchmarks.tasks import ProgressOf, run_tasks

HUB = "hub"
"""What `items_source` says of items that lm-eval fetched."""


def run_questions(
    open_judge: Callable[[], Judge],
    questions: tuple[Question, ...],
    *,
    artefact: str,
    engine: dict[str, Any],
    items_folder: Path | None,
    cache: Path | None,
    is_fresh: bool = False,
    progress: ProgressOf = lambda _: nullcontext(),
    on_asked: Callable[[BenchmarkResult], None] = lambda _: None,
) -> Iterator[BenchmarkResult]:
    """Yield the result of each question, in order, as `run_tasks` does.

    Args:
        open_judge: gives the judge.
        questions: what is asked.
        artefact: digest of the model.
        engine: what `Judge.settings` will say.
        items_folder: where the files of items lie; None lets lm-eval fetch them from the hub.
        cache: folder of results; None keeps nothing.
        is_fresh: asks anew what the cache holds, and keeps the new answer.
        progress: told of each benchmark.
        on_asked: told each result that was measured just now, before it is yielded; not what the cache held.

    Raises:
        MissingBenchmarkError, BadBenchmarkError: the items.
    """
    tasks = (HarnessTask(question=question, items_folder=items_folder) for question in questions)
    return run_tasks(
        open_judge,
        tasks,
        artefact=artefact,
        engine=engine,
        cache=cache,
        is_fresh=is_fresh,
        progress=progress,
        on_asked=on_asked,
    )


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
