"""What `eval history` does and prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.evaluate.naming import find_version
from birdbone.cli.output import new_table
from birdbone.core import Measurement, find_workspace
from birdbone.evaluate.errors import UnknownRecordError
from birdbone.evaluate.history import Record, open_history
from birdbone.evaluate.history.exports.tables import standing_in
from birdbone.evaluate.history.selection import records_of
from birdbone.evaluate.history.trend import (
    BENCHMARK_PREFIX,
    Direction,
    Point,
    Trend,
    points_of_records,
    points_of_versions,
    sparkline,
    trends_of,
)
from birdbone.evaluate.history.wording import figure_words, moment_words, short_commit, short_digest
from birdbone.vault import Version, log


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """Records and trends of what was named."""

    records: tuple[Record, ...]
    """Newest first."""
    trends: tuple[Trend, ...]
    """None where nothing was named: a trend is of one model."""

    @property
    def rows(self) -> list[tuple[Record, Measurement]]:
        """Every figure with its record."""
        return [(record, figure) for record in self.records for figure in record.measurements]


def recall(name: str | None, *, figure: str | None = None, better: str | None = None) -> Recalled:
    """Return what was found of `name` before, or of everything.

    Raises:
        WorkspaceError: there is no workspace here or above.
        UnknownRecordError: nothing was measured of that name.
        UsageError: a direction that there is not.
    """
    direction = one_of(better, Direction, "--better") if better is not None else None
    known = open_history(find_workspace().folder).records()
    versions = [] if name is None else _versions_of(name)
    found = known if name is None else records_of(known, name, versions=[version.id for version in versions])
    points = [point for point in _points(found, versions) if _is_asked(point.figure.name, figure)]
    found = [record for record in found if any(_is_asked(row.name, figure) for row in record.measurements)]
    if name is not None and not points:
        raise unknown_name(name, known)
    order = [version.id for version in reversed(versions)]
    names = {point.figure.name for point in points}
    wanted: dict[str, Direction] = {} if direction is None else dict.fromkeys(names, direction)
    trends = [] if name is None else trends_of(points, order=order, better=wanted)
    return Recalled(records=tuple(reversed(found)), trends=tuple(trends))


def unknown_name(name: str, known: Sequence[Record]) -> UnknownRecordError:
    """Return the error that nothing was measured of `name`, with the names that there are."""
    models = sorted({record.subject.model for record in known})
    told = f"There are records of {', '.join(models)}." if models else "There is no record at all yet."
    return UnknownRecordError(f"Nothing was measured of {name}. {told}", name=name)


def recalled_json(found: Recalled) -> dict[str, Any]:
    """Return it as plain data."""
    return {
        "records": [record.model_dump(mode="json") | {"id": record.id} for record in found.records],
        "trends": [_trend_json(trend) for trend in found.trends],
    }


def records_table(records: Sequence[Record], *, limit: int) -> Table:
    """Return the newest figures as a table."""
    rows = [
        (
            moment_words(record.taken_at),
            record.subject.model,
            figure.name.removeprefix(BENCHMARK_PREFIX),
            figure_words(figure),
            standing_in(record),
            "-" if figure.sample_size is None else f"{figure.sample_size:,}",
            _code(record),
            short_digest(record.subject.version or record.subject.artefact),
            short_digest(record.id),
        )
        for record in records
        for figure in record.measurements
    ]
    columns = ("when", "model", "figure", "value [95 %]", "standing", "items", "by", "version or artefact", "record")
    return new_table(columns, rows[:limit])


def trends_table(trends: Sequence[Trend]) -> Table:
    """Return trends as a table: the figures as blocks, oldest first, and what was found."""
    rows = []
    for trend in trends:
        values = [point.figure.value for point in trend.points]
        left_out = f"; {trend.num_left_out} asked otherwise left out" if trend.num_left_out else ""
        rows.append(
            (
                trend.name.removeprefix(BENCHMARK_PREFIX),
                str(len(values)),
                sparkline(values),
                figure_words(trend.points[-1].figure),
                trend.in_words + left_out,
            )
        )
    return new_table(("trend", "versions", "oldest to newest", "newest [95 %]", "change of level"), rows)


def _versions_of(name: str) -> list[Version]:
    kept = find_version(name)
    return [] if kept is None else log(*kept)


def _points(records: Sequence[Record], versions: Sequence[Version]) -> list[Point]:
    return points_of_records(records) + points_of_versions(versions)


def _is_asked(name: str, figure: str | None) -> bool:
    return figure is None or figure in (name, name.removeprefix(BENCHMARK_PREFIX))


def _code(record: Record) -> str:
    environment = record.environment
    commit = environment.source_commit or environment.commit
    ours = f"birdbone {environment.birdbone}"
    return f"{ours} at {short_commit(commit)}" if commit else ours


def _trend_json(trend: Trend) -> dict[str, Any]:
    return {
        "figure": trend.name,
        "points": [
            {
                "value": point.figure.value,
                "low": point.figure.low,
                "high": point.figure.high,
                "model": point.model,
                "version": point.version,
                "artefact": point.artefact,
                "taken_at": point.taken_at,
                "record": point.record,
            }
            for point in trend.points
        ],
        "num_left_out": trend.num_left_out,
        "finding": trend.in_words,
        "p_value": None if trend.changes is None else trend.changes.p_value,
        "changes": [
            asdict(turn.change)
            | {
                "verdict": turn.verdict,
                "version": turn.point.version,
                "artefact": turn.point.artefact,
                "environment": list(turn.environment),
            }
            for turn in trend.turns
        ],
    }
