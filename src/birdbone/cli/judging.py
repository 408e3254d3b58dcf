"""What `eval` does and prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from rich.table import Table

from birdbone.cli.errors import UsageError
from birdbone.cli.output import new_table, talk, talk_console
from birdbone.cli.workspaces import open_workspace
from birdbone.evaluate.benchmarks import BENCHMARKS, SUITES, BenchmarkResult, Question, SuiteName
from birdbone.evaluate.benchmarks.judge import Progress
from birdbone.evaluate.benchmarks.local_items import FILES
from birdbone.evaluate.benchmarks.opening import Dtype, Engine, find_candidate, open_judge
from birdbone.evaluate.benchmarks.running import run_questions
from birdbone.watch import choose_num_threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person said to `eval run`."""

    model: str
    suite: str
    only: tuple[str, ...]
    limit: int | None
    items: Path | None
    engine: str | None
    dtype: str
    num_threads: int | None
    is_fresh: bool


def run(request: Request) -> Iterator[BenchmarkResult]:
    """Yield the result of each benchmark as it is known.

    Raises:
        UsageError: a name or an option that there is not.
        ModelError, EvaluateError: the model, the items, or the asking.
    """
    questions = _questions(request)
    engine = _one_of(request.engine, Engine, "--engine") if request.engine is not None else None
    candidate = find_candidate(request.model, engine=engine, dtype=_one_of(request.dtype, Dtype, "--dtype"))
    threads = request.num_threads or choose_num_threads()
    talk(f"{candidate.name} in {candidate.engine}, {threads} thread(s)")
    with ExitStack() as stack:
        yield from run_questions(
            lambda: stack.enter_context(open_judge(candidate, num_threads=threads)),
            questions,
            artefact=candidate.artefact,
            engine=candidate.settings,
            items_folder=request.items,
            cache=None if request.is_fresh else open_workspace().folder / "evaluations",
            progress=lambda name: stack.enter_context(_bar(name)),
        )


def result_json(result: BenchmarkResult) -> dict[str, Any]:
    """Return a result as plain data, without its items."""
    plain = result.model_dump(mode="json", exclude={"items"})
    return plain | {"num_items": len(result.items), "accuracy": result.accuracy, "chance": result.chance}


def results_table(results: list[BenchmarkResult]) -> Table:
    """Return results as a table."""
    rows = [
        (
            result.benchmark,
            str(result.num_fewshot),
            f"{len(result.items):,}",
            f"{result.metric} {100 * result.accuracy:.1f} %",
            f"{100 * result.chance:.1f} %" if result.chance else "-",
            f"{result.num_shortened:,}" if result.num_shortened else "-",
        )
        for result in results
    ]
    return new_table(("benchmark", "examples", "items", "score", "a guess", "shortened"), rows)


def catalogue() -> list[dict[str, Any]]:
    """Return every benchmark with its suites and files, as plain data."""
    return [
        {
            **asdict(benchmark),
            "tasks": len(benchmark.tasks),
            "suites": [suite for suite, asked in SUITES.items() if name in {each.benchmark for each in asked}],
            "files": list(FILES[name]),
        }
        for name, benchmark in BENCHMARKS.items()
    ]


def catalogue_table(rows: list[dict[str, Any]]) -> Table:
    """Return the catalogue as a table."""
    columns = ("benchmark", "examples", "metric", "suites", "files")
    return new_table(
        columns,
        [
            (row["name"], str(row["num_fewshot"]), row["metric"], " ".join(row["suites"]), " ".join(row["files"]))
            for row in rows
        ],
    )


def _questions(request: Request) -> tuple[Question, ...]:
    suite: SuiteName = _one_of(request.suite, SuiteName, "--suite")
    for name in request.only:
        _one_of(name, tuple(BENCHMARKS), "--only")
    asked = SUITES[suite]
    missing = [name for name in request.only if name not in {question.benchmark for question in asked}]
    asked += tuple(Question(benchmark=name, num_fewshot=BENCHMARKS[name].num_fewshot, limit=None) for name in missing)
    chosen = [question for question in asked if not request.only or question.benchmark in request.only]
    if request.limit is None:
        return tuple(chosen)
    return tuple(
        Question(benchmark=question.benchmark, num_fewshot=question.num_fewshot, limit=request.limit)
        for question in chosen
    )


def _one_of(value: str, known: Any, option: str) -> Any:
    names = known if isinstance(known, tuple) else get_args(known)
    if value not in names:
        raise UsageError(f"{option} takes {', '.join(names)}; {value!r} came.")
    return value


@contextmanager
def _bar(name: str) -> Iterator[Progress | None]:
    """Give what shows on a terminal how many questions are answered; nothing elsewhere."""
    console = talk_console()
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn())
    with Bar(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        tell: Callable[[int, int], None] = lambda done, total: bar.update(task, completed=done, total=total)  # noqa: E731
        yield tell
