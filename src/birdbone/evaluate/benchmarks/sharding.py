"""A suite shared out over processes: a question to each, the model in the memory of each, the answers in their order.

Worth it where cores are many and questions are short: one process uses several cores well only while it multiplies.
A question that the cache knows is answered without loading the model, as in one process.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

from birdbone.evaluate.benchmarks.catalogue import Question
from birdbone.evaluate.benchmarks.judge import Judge
from birdbone.evaluate.benchmarks.local_items import require_items
from birdbone.evaluate.benchmarks.opening import Candidate, Service, open_judge
from birdbone.evaluate.benchmarks.results import BenchmarkResult
from birdbone.evaluate.benchmarks.running import harness_tasks
from birdbone.evaluate.benchmarks.tasks import run_tasks
from birdbone.evaluate.errors import ShardDiedError

_kept_open = ExitStack()  # a process of the pool has one model, until it ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What every process of the pool knows."""

    candidate: Candidate | Service
    items_folder: Path | None
    """Where the files of items lie; None lets lm-eval fetch them from the hub."""
    cache: Path | None
    """Folder of results; None keeps nothing."""
    num_threads: int
    """Threads of one process."""
    is_fresh: bool = False
    """Whether to ask anew what the cache holds."""


def run_in_processes(
    shard: Shard,
    questions: tuple[Question, ...],
    *,
    num_processes: int,
    on_asked: Callable[[BenchmarkResult], None] = lambda _: None,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[BenchmarkResult]:
    """Yield the result of each question, in order, as `run_tasks` does in one process.

    Args:
        shard: the model, and how it is asked.
        questions: what is asked.
        num_processes: how many at once.
        on_asked: told each result that was measured just now, before it is yielded; not what the cache held.
        told: called with questions answered, and how many there are.

    Raises:
        MissingBenchmarkError: there are no files of items; no process has started.
        ShardDiedError: a process was ended from outside; what the others answered is in the cache.
        and what `run_tasks` does.
    """
    if shard.items_folder is not None:
        for question in questions:
            require_items(shard.items_folder, question.benchmark)
    spawning = multiprocessing.get_context("spawn")  # threads of torch do not survive a fork
    pool = ProcessPoolExecutor(num_processes, mp_context=spawning)
    try:
        asked = [pool.submit(_ask, shard, question) for question in questions]
        for number, future in enumerate(asked):
            result, is_new = future.result()
            told(number + 1, len(asked))
            if is_new:
                on_asked(result)
            yield result
    except BrokenProcessPool as error:
        raise ShardDiedError("A process that asked a part of the suite was ended from outside.") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _ask(shard: Shard, question: Question) -> tuple[BenchmarkResult, bool]:
    """Return a result, and whether it was measured just now. Runs in a process of the pool."""
    new: list[BenchmarkResult] = []
    (result,) = run_tasks(
        lambda: _judge(shard),
        harness_tasks([question], shard.items_folder),
        artefact=shard.candidate.artefact,
        engine=shard.candidate.settings,
        cache=shard.cache,
        is_fresh=shard.is_fresh,
        on_asked=new.append,
    )
    return result, bool(new)


@once
def _judge(shard: Shard) -> Judge:
    return _kept_open.enter_context(open_judge(shard.candidate, num_threads=shard.num_threads))
