"""What `eval` does and prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from rich.table import Table

from birdbone.cli.errors import UsageError
from birdbone.cli.output import new_table, talk, talk_console
from birdbone.cli.workspaces import open_workspace
from birdbone.evaluate.benchmarks import BENCHMARKS, SUITES, BenchmarkResult, Question, SuiteName
from birdbone.evaluate.benchmarks.comparison import MARGIN, BenchmarkComparison, compare
from birdbone.evaluate.benchmarks.judge import Progress
from birdbone.evaluate.benchmarks.local_items import FILES
from birdbone.evaluate.benchmarks.opening import Dtype, Engine, find_candidate, open_judge
from birdbone.evaluate.benchmarks.running import run_questions
from birdbone.evaluate.benchmarks.standing import standing_of
from birdbone.evaluate.checks import CheckResult, run_checks
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
            progress=_bar,
        )


def result_json(result: BenchmarkResult) -> dict[str, Any]:
    """Return a result as plain data, without its items."""
    found = standing_of(result)
    plain = result.model_dump(mode="json", exclude={"items"})
    return plain | {"num_items": len(result.items), **asdict(found), "standing": found.in_words}


def results_table(results: list[BenchmarkResult]) -> Table:
    """Return results as a table."""
    rows = []
    for result in results:
        found = standing_of(result)
        rows.append(
            (
                result.benchmark,
                str(result.num_fewshot),
                f"{len(result.items):,}",
                f"{_percent(found.value)} [{_percent(found.low)}, {_percent(found.high)}]",
                _percent(found.chance) if found.chance else "-",
                found.in_words,
                f"{result.num_shortened:,}" if result.num_shortened else "-",
            )
        )
    return new_table(("benchmark", "examples", "items", "score [95 %]", "a guess", "standing", "shortened"), rows)


def compare_models(requests: Sequence[Request]) -> list[dict[str, Any]]:
    """Return each candidate (all but the first) beside the baseline (the first), as plain data.

    Raises:
        UnpairedError: they were not asked the same.
        and what `run` does.
    """
    baseline, *others = ((request.model, list(run(request))) for request in requests)
    return [
        {
            "baseline": baseline[0],
            "candidate": name,
            "benchmarks": [_comparison_json(row) for row in compare(results, baseline[1])],
        }
        for name, results in others
    ]


def comparison_table(found: Mapping[str, Any]) -> Table:
    """Return one candidate beside the baseline as a table."""
    rows = []
    for row in found["benchmarks"]:
        change, kept = row["difference"], row["retention"]
        flips = f"-{row['flips']['lost']} +{row['flips']['gained']}" if row["flips"] else "-"
        rows.append(
            (
                row["benchmark"],
                _percent(row["baseline"]),
                _percent(row["candidate"]),
                f"{100 * change['value']:+.1f} [{100 * change['low']:+.1f}, {100 * change['high']:+.1f}]",
                flips,
                f"{row['adjusted_p_value']:.2g}",
                f"{_percent(kept['value'])} [{_percent(kept['low'])}, {_percent(kept['high'])}]"
                if "value" in kept
                else "not informative",
                row["no_worse"],
            )
        )
    columns = (
        "benchmark",
        "baseline",
        "candidate",
        "points [95 %]",
        "flips",
        "p (Holm)",
        "kept above a guess",
        "no worse",
    )
    return new_table(columns, rows, title=f"{found['candidate']} beside {found['baseline']}")


def _comparison_json(row: BenchmarkComparison) -> dict[str, Any]:
    return asdict(row) | {"margin": MARGIN}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def run_test(
    model: str, *, engine: str | None, against: str | None, seed: int, num_threads: int | None
) -> list[CheckResult]:
    """Return what each check of a model by itself found; `against` is the same model in another engine or form.

    Raises:
        UsageError: an engine that there is not.
        ModelError: there is no such model.
    """
    chosen = _one_of(engine, Engine, "--engine") if engine is not None else None
    threads = num_threads or choose_num_threads()
    with ExitStack() as stack:
        judge, *others = (
            stack.enter_context(
                open_judge(find_candidate(spec, engine=chosen if spec == model else None), num_threads=threads)
            )
            for spec in (model, *([against] if against is not None else []))
        )
        tell = stack.enter_context(_bar("checks"))
        return run_checks(
            judge,
            seed=seed,
            other=others[0] if others else None,
            told=(lambda _, done, total: tell(done, total)) if tell is not None else (lambda *_: None),
        )


def checks_table(found: Sequence[CheckResult]) -> Table:
    """Return the findings of checks as a table."""
    return new_table(("check", "outcome", "reason"), [(row.name, row.outcome, row.reason) for row in found])


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
