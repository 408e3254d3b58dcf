"""A suite asked of a model, each question only once: what was asked before is read from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from birdbone.core.digest import digest_json
from birdbone.core.files import write_json
from birdbone.evaluate.benchmarks.catalogue import BENCHMARKS, Question
from birdbone.evaluate.benchmarks.harness import SEED, ask, harness_version
from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.benchmarks.local_items import items_digest, read_items
from birdbone.evaluate.benchmarks.results import BenchmarkResult

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
    progress: Callable[[str], AbstractContextManager[Progress | None]] = lambda _: nullcontext(),
    on_asked: Callable[[BenchmarkResult], None] = lambda _: None,
) -> Iterator[BenchmarkResult]:
    """Yield the result of each question, in order; the judge is opened when the first is not in the cache.

    Args:
        open_judge: gives the judge.
        artefact: digest of the model.
        engine: what `Judge.settings` will say; known before the judge is open, so that the cache can be asked.
        items_folder: where the files of items lie; None lets lm-eval fetch them from the hub.
        cache: folder of results; None keeps nothing.
        is_fresh: asks anew what the cache holds, and keeps the new answer.
        progress: gives for a benchmark's name a context in which somebody is told of it.
        on_asked: told each result that was measured just now, before it is yielded; not what the cache held.

    Raises:
        MissingBenchmarkError, BadBenchmarkError: the items.
    """
    judge: Judge | None = None
    for question in questions:
        source = items_digest(items_folder, question.benchmark) if items_folder is not None else HUB
        path = cache / f"{_key(question, artefact, engine, source)}.json" if cache is not None else None
        known = None if is_fresh else _read(path)
        if known is None:
            judge = judge or open_judge()
            with progress(question.benchmark) as tell:
                known = _ask(judge, question, artefact, items_folder, source, tell)
            if path is not None:
                write_json(path, known.model_dump(mode="json"))
            on_asked(known)
        yield known


def _ask(
    judge: Judge,
    question: Question,
    artefact: str,
    items_folder: Path | None,
    source: str,
    progress: Progress | None,
) -> BenchmarkResult:
    items = read_items(items_folder, question.benchmark) if items_folder is not None else None
    scores, versions, num_shortened = ask(judge, question, items, progress=progress)
    tasks = ", ".join(f"{name} {version}" for name, version in sorted(versions.items())[:3])
    more = f" and {len(versions) - 3} more" if len(versions) > 3 else ""
    return BenchmarkResult(
        benchmark=question.benchmark,
        artefact=artefact,
        metric=BENCHMARKS[question.benchmark].metric,
        num_fewshot=question.num_fewshot,
        limit=question.limit,
        harness=f"lm-eval {harness_version()}: {tasks}{more}",
        items_source=source,
        settings=dict(judge.settings),
        items=tuple(scores),
        num_shortened=num_shortened,
    )


def _key(question: Question, artefact: str, engine: dict[str, Any], source: str) -> str:
    asked = {"benchmark": question.benchmark, "num_fewshot": question.num_fewshot, "limit": question.limit}
    harness = {"lm_eval": harness_version(), "seed": SEED}
    return digest_json({**asked, **harness, "artefact": artefact, "engine": engine, "items": source})[3:]


def _read(path: Path | None) -> BenchmarkResult | None:
    """Return what the cache holds; a file that is not whole counts as none, and is written again."""
    if path is None or not path.is_file():
        return None
    try:
        return BenchmarkResult.model_validate_json(path.read_bytes())
    except ValidationError:
        return None
