"""Where a figure that comes step by step goes: a sink.

A craft room gets a `MetricSink` and calls `log`; it does not know whether the figure ends in memory, in the run's
database or in Weights & Biases. Every sink may be called from several threads.

NaN and the infinities are data: a loss that became NaN is the figure that matters most. They are kept as what they are,
read back as floats, and leave as the words `"NaN"`, `"Infinity"`, `"-Infinity"` where JSON has no number for them.
"""

from __future__ import annotations

import datetime as dt
import importlib
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from sqlalchemy import Engine, Row, select

from birdbone.watch.errors import MissingExtraError
from birdbone.watch.models import metrics

NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""The figures that JSON has no number for, by the words that stand for them."""


class MetricSink(Protocol):
    """Takes figures as they come."""

    def log(self, name: str, value: float, *, step: int, unit: str = "") -> None:
        """Record that `name` was `value` (in `unit`) at `step`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure at one step. `value` may be NaN or infinite; `at` is in UTC."""

    name: str
    value: float
    step: int
    unit: str
    at: dt.datetime
    run_id: str = ""
    phase: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as plain JSON data; a value that JSON cannot hold as its word."""
        return {
            "run_id": self.run_id,
            "phase": self.phase,
            "name": self.name,
            "step": self.step,
            "value": nonfinite_word(self.value) or self.value,
            "unit": self.unit,
            "at": self.at.isoformat(),
        }


class NullSink:
    """Forgets everything: for a call whose figures nobody asked for."""

    def log(self, name: str, value: float, *, step: int, unit: str = "") -> None:
        """Do nothing."""


class MemorySink:
    """Keeps every figure in `rows`: for notebooks and tests."""

    def __init__(self) -> None:
        self.rows: list[Metric] = []

    def log(self, name: str, value: float, *, step: int, unit: str = "") -> None:
        """Record a figure."""
        self.rows.append(Metric(name=name, value=float(value), step=step, unit=unit, at=_now()))

    def values(self, name: str) -> list[float]:
        """Return the values of one figure in the order they came."""
        return [row.value for row in self.rows if row.name == name]


class FanOutSink:
    """Hands each figure to several sinks in turn."""

    def __init__(self, *sinks: MetricSink) -> None:
        self._sinks = sinks

    def log(self, name: str, value: float, *, step: int, unit: str = "") -> None:
        """Record a figure in every sink."""
        for sink in self._sinks:
            sink.log(name, value, step=step, unit=unit)


class StoreSink:
    """Writes figures to the table `metrics`, a batch at a time; use it in a `with`, or close it.

    A batch is written when it has `batch_rows` rows, when a figure comes `flush_seconds` after the first of the batch,
    and on close. A crash loses the last batch at most; a step that runs again writes its figures again, and
    `read_metrics` takes the last of each.
    """

    def __init__(
        self, engine: Engine, run_id: str, *, phase: str = "", batch_rows: int = 256, flush_seconds: float = 2.0
    ) -> None:
        metrics.create(engine, checkfirst=True)
        self._engine = engine
        self._frame = {"run_id": run_id, "phase": phase}
        self._batch_rows = batch_rows
        self._flush_seconds = flush_seconds
        self._rows: list[dict[str, Any]] = []
        self._first_at = 0.0
        self._lock = threading.Lock()

    def log(self, name: str, value: float, *, step: int, unit: str = "") -> None:
        """Record a figure."""
        number = float(value)
        word = nonfinite_word(number)
        row = {"name": name, "step": step, "unit": unit, "at": _now(), "value": None if word else number}
        with self._lock:
            if not self._rows:
                self._first_at = time.monotonic()
            self._rows.append({**self._frame, **row, "nonfinite": word})
            is_due = time.monotonic() - self._first_at >= self._flush_seconds
            if is_due or len(self._rows) >= self._batch_rows:
                self._write()

    def flush(self) -> None:
        """Write what is waiting."""
        with self._lock:
            self._write()

    def close(self) -> None:
        """Write what is waiting; the sink may be used again afterwards."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self) -> None:
        if self._rows:
            with self._engine.begin() as connection:
                connection.execute(metrics.insert(), self._rows)
            self._rows = []  # only now: a write that failed is tried again with the next batch


class WandbSink:
    """Sends figures to Weights & Biases (`pip install birdbone[wandb]`); the run is finished on close."""

    def __init__(self, *, project: str, run_id: str, settings: Mapping[str, Any] | None = None) -> None:
        try:
            wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise MissingExtraError(
                "Weights & Biases is not installed, so no figure can be sent there.",
                hint="Install it with `pip install 'birdbone[wandb]'`, or take it out of the recipe.",
                extra="wandb",
            ) from error
        self._run = wandb.init(project=project, id=run_id, name=run_id, config=dict(settings or {}), resume="allow")

    def log(self, name: str, value: float, *, step: int, unit: str = "") -> None:
        """Send a figure; the unit becomes part of its name."""
        key = f"{name} ({unit})" if unit else name
        self._run.log({key: float(value), f"{key}/step": step})

    def close(self) -> None:
        """Finish the run there."""
        self._run.finish()


def read_metrics(engine: Engine, run_id: str, name: str | None = None, *, after_id: int = 0) -> list[Metric]:
    """Return the figures of a run (only those called `name`, if given), by name and then by step.

    Where a phase recorded a figure for the same step again, after a crash, the last one counts.

    Args:
        after_id: only rows that were stored after this one (see `last_metric_id`), for a screen that follows along.
    """
    query = select(metrics).where(metrics.c.run_id == run_id, metrics.c.id > after_id)
    if name is not None:
        query = query.where(metrics.c.name == name)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(metrics.c.id)).all()
    latest = {(row.name, row.step, row.phase): _as_metric(row) for row in rows}
    return [latest[key] for key in sorted(latest)]


def last_metric_id(engine: Engine, run_id: str) -> int:
    """Return the id of the newest row of a run, 0 if it has none."""
    query = select(metrics.c.id).where(metrics.c.run_id == run_id).order_by(metrics.c.id.desc()).limit(1)
    with engine.connect() as connection:
        return int(connection.execute(query).scalar() or 0)


def nonfinite_word(value: float) -> str | None:
    """Return the word for NaN or an infinity, None for a finite number."""
    if math.isfinite(value):
        return None
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _as_metric(row: Row[Any]) -> Metric:
    return Metric(
        name=row.name,
        value=row.value if row.nonfinite is None else NONFINITE[row.nonfinite],
        step=row.step,
        unit=row.unit,
        at=row.at.replace(tzinfo=dt.UTC) if row.at.tzinfo is None else row.at.astimezone(dt.UTC),
        run_id=row.run_id,
        phase=row.phase,
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
