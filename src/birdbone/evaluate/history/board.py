"""The leaderboard: models by benchmark, each figure with its interval, ranks that say no more than the intervals do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from birdbone.core import Measurement
from birdbone.evaluate.history.records import Asked, Evidence, Record, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One benchmark, asked in one way of one number of items."""

    asked: Asked
    num_items: int
    heading: str
    """The benchmark's name, with what tells it from another column of the same benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One model's figure on one benchmark."""

    figure: Measurement
    evidence: Evidence
    record: Record
    rank: int
    """1 and the number of models that are surely better: those whose interval lies wholly above this one's."""
    is_shared: bool
    """Whether another model has the same rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model in one engine and number format."""

    subject: Subject
    engine: str
    label: str
    """The model's name, with the beginning of its digest where two models share it."""
    cells: tuple[Cell | None, ...]
    """One a column; None was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The newest figure of each model on each benchmark."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    """By the number of first places, then by name."""


class _Bounded(Protocol):
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def board_of(records: Iterable[Record]) -> Board:
    """Return the leaderboard of records; those of no benchmark are left out."""
    newest: dict[tuple[str, str], dict[tuple[Asked, int], Record]] = {}
    for record in sorted(records, key=lambda record: record.taken_at):
        if record.evidence is not None:
            key = record.subject.artefact, engine_words(record.evidence)
            newest.setdefault(key, {})[_column_key(record)] = record
    columns = _columns(key for judged in newest.values() for key in judged)
    keys = [(column.asked, column.num_items) for column in columns]
    ranked = [_cells([judged.get(key) for judged in newest.values()]) for key in keys]
    subjects = [list(judged.values())[-1].subject for judged in newest.values()]
    labels = _labels(subjects)
    rows = [
        Row(
            subject=subjects[number],
            engine=engine,
            label=labels[number],
            cells=tuple(column[number] for column in ranked),
        )
        for number, (_, engine) in enumerate(newest)
    ]
    rows.sort(key=lambda row: (-sum(cell is not None and cell.rank == 1 for cell in row.cells), row.label, row.engine))
    return Board(columns=columns, rows=tuple(rows))


def ranks_of(figures: Sequence[_Bounded]) -> list[int]:
    """Return the rank of each figure, in their order: 1 and the number of those whose interval lies wholly above.

    Two figures whose intervals touch are not told apart, so places are shared; a figure without an interval is told
    from none. An interval that leaves another one out is stricter than a test of the difference: who ranks lower is
    worse, while who shares a rank may differ in a paired comparison.
    Source: Chiang et al. 2024, arXiv:2403.04132 (its approximate ranking by intervals).
    """
    return [
        1 + sum(other.low is not None and own.high is not None and other.low > own.high for other in figures)
        for own in figures
    ]


def engine_words(evidence: Evidence) -> str:
    """Return what ran the model, in words."""
    settings = dict(evidence.settings)
    engine = str(settings.pop("engine", "not said"))
    return ", ".join([engine, *(str(value) for _, value in sorted(settings.items()))])


def _cells(records: Sequence[Record | None]) -> list[Cell | None]:
    """Return the cells of one column."""
    present = [record for record in records if record is not None]
    ranks = ranks_of([record.measurements[0] for record in present])
    rank_of = {record.id: rank for record, rank in zip(present, ranks, strict=True)}
    times = Counter(ranks)
    cells: list[Cell | None] = []
    for record in records:
        if record is None or record.evidence is None:
            cells.append(None)
            continue
        rank = rank_of[record.id]
        cells.append(
            Cell(
                figure=record.measurements[0],
                evidence=record.evidence,
                record=record,
                rank=rank,
                is_shared=times[rank] > 1,
            )
        )
    return cells


def _column_key(record: Record) -> tuple[Asked, int]:
    assert record.evidence is not None, "only benchmarks have columns"
    return record.evidence.asked, record.measurements[0].sample_size or 0


def _columns(keys: Iterable[tuple[Asked, int]]) -> tuple[Column, ...]:
    """Return the columns by name. A benchmark that was asked in several ways has several."""
    ordered = sorted(set(keys), key=lambda key: (key[0].benchmark, key[0].num_fewshot, key[1], key[0].items_source))
    times = Counter(asked.benchmark for asked, _ in ordered)
    seen: Counter[str] = Counter()
    columns = []
    for asked, num_items in ordered:
        heading = asked.benchmark
        if times[heading] > 1:
            seen[heading] += 1
            heading = f"{heading} ({seen[heading]})"
        columns.append(Column(asked=asked, num_items=num_items, heading=heading))
    return tuple(columns)


def _labels(subjects: Sequence[Subject]) -> list[str]:
    """Return a label for each: its name, and what tells it from another model of that name."""
    artefacts: dict[str, set[str]] = {}
    for subject in subjects:
        artefacts.setdefault(subject.model, set()).add(subject.artefact)
    return [
        subject.model
        if len(artefacts[subject.model]) == 1
        else f"{subject.model} {(subject.version or subject.artefact).removeprefix('b3:')[:8]}"
        for subject in subjects
    ]
