"""Results into records. A result that comes from the cache was asked before: its day and its code are those of then."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from birdbone.core import Measurement
from birdbone.core.digest import digest_json
from birdbone.evaluate.benchmarks.results import BenchmarkResult
from birdbone.evaluate.benchmarks.standing import measurement_of, standing_of
from birdbone.evaluate.history.environment import describe_environment
from birdbone.evaluate.history.records import Asked, Environment, Evidence, Record, Subject
from birdbone.evaluate.history.store import History


@dataclass(slots=True)
class Keeper:
    """Keeps the results of one model as they come, those of the cache too. The environment is described once."""

    history: History
    subject: Subject
    dtype: str | None = None
    """Number format of the computation."""
    num_threads: int | None = None
    """CPU threads of the computation."""
    _environment: Environment | None = field(default=None, init=False)
    _asked: set[str] = field(default_factory=set, init=False)
    _earlier: list[Record] | None = field(default=None, init=False)

    def keep_asked(self, result: BenchmarkResult) -> None:
        """Record a result that was measured just now."""
        if self._environment is None:
            self._environment = describe_environment(num_threads=self.num_threads, dtype=self.dtype)
        keep_asked(self.history, result, subject=self.subject, environment=self._environment)
        self._asked.add(result.benchmark)

    def keep_known(self, result: BenchmarkResult) -> None:
        """Record a result that the cache held; one that was recorded as asked already is left alone."""
        if result.benchmark in self._asked:
            return
        if self._earlier is None:
            self._earlier = self.history.records()
        keep_known(self.history, result, subject=self.subject, earlier=self._earlier)


def keep_asked(
    history: History,
    result: BenchmarkResult,
    *,
    subject: Subject,
    environment: Environment,
    taken_at: dt.datetime | None = None,
) -> Record:
    """Record a result that was measured just now, and return the record.

    Args:
        taken_at: when, aware of its zone; now unless given.

    Raises:
        DiskFullError: no room on the disk.
    """
    figure = measurement_of(result)
    record = Record(
        subject=subject,
        taken_at=taken_at or dt.datetime.now(dt.UTC),
        environment=environment,
        measurements=(figure,),
        evidence=evidence_of(result),
    )
    history.add(record, result)
    return record


def keep_known(
    history: History, result: BenchmarkResult, *, subject: Subject, earlier: Sequence[Record]
) -> Record | None:
    """Record that `subject` has a result that was asked for earlier, with the day and the code of then.

    Args:
        earlier: the records of `history`, oldest first.

    Returns:
        The record, which may have been there before; None where nothing says when and by what code it was asked.
    """
    digest = digest_json(result.model_dump(mode="json"))
    same = [row for row in earlier if row.evidence is not None and row.evidence.result == digest]
    if not same:
        return None
    of_subject = [row for row in same if row.subject == subject]
    if of_subject:
        return of_subject[-1]
    record = same[-1].model_copy(update={"subject": subject})
    history.add(record, result)
    return record


def keep_measurements(
    history: History,
    measurements: Sequence[Measurement],
    *,
    subject: Subject,
    environment: Environment,
    taken_at: dt.datetime | None = None,
) -> Record:
    """Record figures that are of no benchmark, such as a size or a perplexity, and return the record.

    Raises:
        DiskFullError: no room on the disk.
    """
    record = Record(
        subject=subject,
        taken_at=taken_at or dt.datetime.now(dt.UTC),
        environment=environment,
        measurements=tuple(measurements),
    )
    history.add(record)
    return record


def evidence_of(result: BenchmarkResult) -> Evidence:
    """Return what stands behind the figure of a result."""
    found = standing_of(result)
    scores = np.array([item.score for item in result.items])
    return Evidence(
        asked=Asked(
            benchmark=result.benchmark,
            metric=result.metric,
            num_fewshot=result.num_fewshot,
            limit=result.limit,
            harness=result.harness,
            items_source=result.items_source,
        ),
        settings=result.settings,
        num_shortened=result.num_shortened,
        chance=found.chance,
        is_above_chance=found.is_above_chance,
        # As lm-eval's own `mean_stderr` has it.
        standard_error=float(scores.std(ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else None,
        result=digest_json(result.model_dump(mode="json")),
    )
