"""Tasks asked of a model, each only once: what was asked before is read from the cache.

Needs neither torch nor lm-eval. A task is a benchmark that Birdbone has or one of a user's own; this is all that they
have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from birdbone.core.digest import digest_json
from birdbone.core.files import write_json
from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.benchmarks.results import BenchmarkResult

ProgressOf = Callable[[str], AbstractContextManager[Progress | None]]
"""Gives for a task's name a context in which somebody is told of it."""


class Task(Protocol):
    """What can be asked of a judge, and whose result can be kept."""

    @property
    def name(self) -> str:
        """What its results are kept and shown under."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """What its answers depend on, beside the model and its engine, as plain data."""
        ...

    def ask(self, judge: Judge, *, artefact: str, progress: Progress | None) -> BenchmarkResult:
        """Return the result on the model of that digest."""
        ...


def run_tasks(
    open_judge: Callable[[], Judge],
    tasks: Iterable[Task],
    *,
    artefact: str,
    engine: Mapping[str, Any],
    cache: Path | None,
    is_fresh: bool = False,
    progress: ProgressOf = lambda _: nullcontext(),
    on_asked: Callable[[BenchmarkResult], None] = lambda _: None,
) -> Iterator[BenchmarkResult]:
    """Yield the result of each task, in order; the judge is opened when the first is not in the cache.

    Args:
        open_judge: gives the judge.
        tasks: what is asked.
        artefact: digest of the model.
        engine: what `Judge.settings` will say; known before the judge is open, so that the cache can be asked.
        cache: folder of results; None keeps nothing.
        is_fresh: asks anew what the cache holds, and keeps the new answer.
        progress: told of each task.
        on_asked: told each result that was measured just now, before it is yielded; not what the cache held.
    """
    judge: Judge | None = None
    for task in tasks:
        key = digest_json({**task.identity, "artefact": artefact, "engine": dict(engine)})[3:]
        path = cache / f"{key}.json" if cache is not None else None
        known = None if is_fresh else _read(path)
        if known is None:
            judge = judge or open_judge()
            with progress(task.name) as tell:
                known = task.ask(judge, artefact=artefact, progress=tell)
            if path is not None:
                write_json(path, known.model_dump(mode="json"))
            on_asked(known)
        yield known


def _read(path: Path | None) -> BenchmarkResult | None:
    """Return what the cache holds; a file that is not whole counts as none, and is written again."""
    if path is None or not path.is_file():
        return None
    try:
        return BenchmarkResult.model_validate_json(path.read_bytes())
    except ValidationError:
        return None
