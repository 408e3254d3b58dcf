"""What `eval run` does and prints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from rich.table import Table

from birdbone.cli.errors import UsageError
from birdbone.cli.evaluate.bars import question_bar
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.evaluate.subjects import Opened, open_subject
from birdbone.cli.evaluate.tasking import read_questions
from birdbone.cli.output import new_table, talk
from birdbone.cli.workspaces import open_workspace
from birdbone.evaluate.benchmarks import BENCHMARKS, SUITES, BenchmarkResult, Question, SuiteName
from birdbone.evaluate.benchmarks.opening import Candidate, Dtype, Engine, Service, find_candidate, open_judge
from birdbone.evaluate.benchmarks.running import harness_tasks
from birdbone.evaluate.benchmarks.sharding import Shard, run_in_processes
from birdbone.evaluate.benchmarks.standing import standing_of
from birdbone.evaluate.benchmarks.tasks import run_tasks
from birdbone.evaluate.history import open_history
from birdbone.evaluate.history.keeping import Keeper
from birdbone.watch import choose_num_threads

KEY_VARIABLE = "BIRDBONE_ENDPOINT_KEY"
"""Environment variable with the key of a service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person wants to know."""

    suite: str | None = None
    """None is `quick`, or no suite at all beside tasks of one's own."""
    only: tuple[str, ...] = ()
    tasks: tuple[Path, ...] = ()
    """Files of tasks of one's own."""
    limit: int | None = None
    items: Path | None = None
    is_fresh: bool = False
    """Whether to ask again what was asked before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class On:
    """What is to run the model."""

    engine: str | None = None
    dtype: str = "auto"
    threads: int | None = None
    served_model: str | None = None
    """What a service calls it."""
    tokenizer: str | None = None
    """Whose tokenizer the model behind a service has."""
    num_ctx: int = 2048
    """Tokens that a service takes."""
    processes: int = 1
    """Processes that a suite is shared out over; each holds the model."""


def ask_model(model: str, asked: Asked, on: On) -> Iterator[BenchmarkResult]:
    """Yield the result of each benchmark as it is known.

    Raises:
        UsageError: a name or an option that there is not.
        ModelError, EvaluateError: the model, the items, or the asking.
    """
    with open_subject(model, lambda spec: find_judged(spec, on)) as opened:
        yield from ask_opened(opened, asked, on)


def ask_opened(opened: Opened, asked: Asked, on: On) -> Iterator[BenchmarkResult]:
    """Yield the result of each benchmark as it is known, of a model that is opened already.

    Raises:
        UsageError: a name or an option that there is not.
        ModelError, EvaluateError: the model, the items, or the asking.
    """
    (candidate, subject), questions = opened, _questions(asked)
    with ExitStack() as stack:
        folder, threads = open_workspace().folder, on.threads or choose_num_threads()
        own = read_questions(asked.tasks, limit=asked.limit, dtype=on.dtype, num_threads=threads)
        talk(f"{subject.model} in {candidate.engine}, {threads} thread(s)")
        is_kept = isinstance(candidate, Candidate)  # what runs behind a service may change
        keeper = Keeper(open_history(folder), subject, dtype=_dtype(candidate), num_threads=threads)
        open_once = cache(lambda: stack.enter_context(open_judge(candidate, num_threads=threads)))
        how: dict[str, Any] = {
            "artefact": candidate.artefact,
            "engine": candidate.settings,
            "cache": folder / "evaluations" if is_kept else None,
            "is_fresh": asked.is_fresh,
            "progress": question_bar,
            "on_asked": keeper.keep_asked,
        }
        suite: Iterator[BenchmarkResult]
        if on.processes == 1:
            suite = run_tasks(open_once, harness_tasks(questions, asked.items), **how)
        else:
            shard = Shard(
                candidate=candidate,
                items_folder=asked.items,
                cache=how["cache"],
                num_threads=max(1, threads // on.processes),
                is_fresh=asked.is_fresh,
            )
            suite = run_in_processes(shard, questions, num_processes=on.processes, on_asked=keeper.keep_asked)
        for result in chain(suite, run_tasks(open_once, own, **how)):
            keeper.keep_known(result)
            yield result


def find_judged(model: str, on: On) -> Candidate | Service:
    """Return what is to be judged: a model of this machine or the hub, or one behind a service.

    Raises:
        UsageError: an engine or a format that there is not, or a service without its model's name and tokenizer.
        ModelError: there is no such model.
    """
    if not model.startswith(("http://", "https://")):
        engine = one_of(on.engine, Engine, "--engine") if on.engine is not None else None
        return find_candidate(model, engine=engine, dtype=one_of(on.dtype, Dtype, "--dtype"))
    if on.served_model is None or on.tokenizer is None:
        raise UsageError(
            "A service needs --served-model, what it calls the model, and --tokenizer, a model with that tokenizer."
        )
    key = os.environ.get(KEY_VARIABLE, "")
    return Service(url=model, model=on.served_model, tokenizer=on.tokenizer, num_ctx=on.num_ctx, api_key=key)


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
                f"{percent(found.value)} [{percent(found.low)}, {percent(found.high)}]",
                percent(found.chance) if found.chance else "-",
                found.in_words,
                f"{result.num_shortened:,}" if result.num_shortened else "-",
            )
        )
    return new_table(("benchmark", "examples", "items", "score [95 %]", "a guess", "standing", "shortened"), rows)


def judged_lines(results: Sequence[BenchmarkResult]) -> list[str]:
    """Return a line for each result that a model gave, as its figures are that model's opinion."""
    return [
        f"{result.benchmark} was judged by a model, {result.settings['judged_by']} "
        f"({result.settings['judged_by_artefact']})" + (": itself" if result.settings["judged_itself"] else "")
        for result in results
        if result.is_opinion
    ]


def percent(share: float) -> str:
    """Return a share for people."""
    return f"{100 * share:.1f} %"


def _dtype(candidate: Candidate | Service) -> str | None:
    """Return the number format of the computation, where it is ours to choose."""
    return candidate.dtype if isinstance(candidate, Candidate) and candidate.engine == "torch" else None


def _questions(asked: Asked) -> tuple[Question, ...]:
    if asked.tasks and asked.suite is None and not asked.only:
        return ()
    suite: SuiteName = one_of(asked.suite or "quick", SuiteName, "--suite")
    for name in asked.only:
        one_of(name, tuple(BENCHMARKS), "--only")
    questions = SUITES[suite]
    missing = [name for name in asked.only if name not in {question.benchmark for question in questions}]
    questions += tuple(
        Question(benchmark=name, num_fewshot=BENCHMARKS[name].num_fewshot, limit=None) for name in missing
    )
    chosen = [question for question in questions if not asked.only or question.benchmark in asked.only]
    if asked.limit is None:
        return tuple(chosen)
    return tuple(replace(question, limit=asked.limit) for question in chosen)
