"""A figure over the versions of a model: the points in order, and where their level changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import ValidationError
from scipy.special import ndtri  # type: ignore[import-untyped]

from birdbone.core import Measurement
from birdbone.evaluate.history.change_points import MAX_POINTS, MIN_POINTS, Change, Changes, find_changes
from birdbone.evaluate.history.records import Asked, Environment, Record
from birdbone.evaluate.statistics.bootstrap import CONFIDENCE
from birdbone.vault import Version

Direction = Literal["higher", "lower"]
"""Which figures are better."""

BENCHMARK_PREFIX = "benchmark."
_LOWER_IS_BETTER = ("perplexity", "bits_per_byte", "bits_per_weight", "kl", "size", "latency", "seconds", "flips")
_BLOCKS = "▁▂▃▄▅▆▇█"
_SEED = 0
_QUANTILE = float(ndtri(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One version's figure."""

    figure: Measurement
    model: str
    """Its name, or the first line of the version's message."""
    artefact: str
    version: str | None
    first_at: dt.datetime
    """When the version was judged first, or committed: the order of the series."""
    taken_at: dt.datetime
    """When this figure was taken."""
    environment: Environment | None
    """Absent for a figure that a version of the vault carries."""
    asked: Asked | None
    """Of a benchmark."""
    record: str | None
    """Id of its record."""

    @property
    def standard_error(self) -> float | None:
        """Out of the 95 % interval; None where the figure has none, or one of no width."""
        low, high = self.figure.low, self.figure.high
        if low is None or high is None or high <= low:
            return None
        return (high - low) / (2 * _QUANTILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A change of level, with what is known of it."""

    change: Change
    point: Point
    """The first version after it."""
    verdict: Literal["regression", "improvement", "change"]
    """`change` where nobody said which direction is better."""
    environment: tuple[str, ...]
    """What else was not the same before and after: another engine or library explains a change as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A figure over versions."""

    name: str
    """Of the figure."""
    points: tuple[Point, ...]
    """Oldest first, one a version."""
    num_left_out: int
    """Points that were asked otherwise than the newest, and so cannot be set beside it."""
    changes: Changes | None
    """None where there are too few points."""
    turns: tuple[Turn, ...]

    @property
    def in_words(self) -> str:
        """What was found, in a sentence."""
        if self.changes is None:
            return f"too few versions to look for a change: {len(self.points)}, and {MIN_POINTS} are needed"
        if not self.turns:
            return f"no change found in {self.changes.num_points} versions (p = {self.changes.p_value:.2g})"
        return f"{'; '.join(map(_turn_words, self.turns))} (p = {self.changes.p_value:.2g})"


def points_of_records(records: Iterable[Record]) -> list[Point]:
    """Return every figure of the records as a point."""
    return [
        Point(
            figure=figure,
            model=record.subject.model,
            artefact=record.subject.artefact,
            version=record.subject.version,
            first_at=record.taken_at,
            taken_at=record.taken_at,
            environment=record.environment,
            asked=None if record.evidence is None else record.evidence.asked,
            record=record.id,
        )
        for record in records
        for figure in record.measurements
    ]


def points_of_versions(versions: Iterable[Version]) -> list[Point]:
    """Return every figure that versions of the vault carry as a point; rows that are no measurements are left out."""
    return [
        Point(
            figure=figure,
            model=next(iter(version.message.splitlines()), ""),
            artefact=version.artefact,
            version=version.id,
            first_at=version.time,
            taken_at=version.time,
            environment=None,
            asked=None,
            record=None,
        )
        for version in versions
        for row in version.measurements
        if (figure := _figure(row)) is not None
    ]


def trends_of(
    points: Sequence[Point], *, order: Sequence[str] = (), better: Mapping[str, Direction] | None = None
) -> list[Trend]:
    """Return one trend for each name of a figure, in the order of the names.

    Only figures that were asked and taken in the same way as the newest of their name make a series. A version that
    was judged several times stands where it was judged first, with its newest figure.

    Args:
        order: ids of versions, oldest first; a point whose version is in it stands there, before all that are not.
        better: which direction is better, by name, where `direction_of` does not know.
    """
    names = sorted({point.figure.name for point in points})
    return [
        _trend(name, [point for point in points if point.figure.name == name], order, (better or {}).get(name))
        for name in names
    ]


def direction_of(name: str) -> Direction | None:
    """Return which figures of this name are better, where that is known."""
    if name.startswith(BENCHMARK_PREFIX):
        return "higher"
    return "lower" if any(name == word or name.startswith(f"{word}_") for word in _LOWER_IS_BETTER) else None


def sparkline(values: Sequence[float]) -> str:
    """Return the figures as a row of blocks, the lowest as the lowest block; equal figures as middle ones."""
    low, high = min(values), max(values)
    if high == low:
        return _BLOCKS[3] * len(values)
    return "".join(_BLOCKS[round((value - low) / (high - low) * (len(_BLOCKS) - 1))] for value in values)


def environment_changes(before: Environment | None, after: Environment | None) -> tuple[str, ...]:
    """Return in words what differs between two environments; nothing where one of them is not known."""
    if before is None or after is None:
        return ()
    old, new = (_flat(environment) for environment in (before, after))
    return tuple(
        f"{name} {old.get(name, 'none')} → {new.get(name, 'none')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def _figure(row: Mapping[str, object]) -> Measurement | None:
    try:
        return Measurement.model_validate(row)
    except ValidationError:
        return None


def _trend(name: str, points: Sequence[Point], order: Sequence[str], better: Direction | None) -> Trend:
    newest = max(points, key=lambda point: point.taken_at)
    alike = [point for point in points if _manner(point) == _manner(newest)]
    series = _in_order(_one_a_version(alike), order)
    changes = _changes_in(series)
    turns: tuple[Turn, ...] = ()
    if changes is not None:
        seen = series[-changes.num_points :]
        turns = tuple(_turn(change, seen, better or direction_of(name)) for change in changes.changes)
    return Trend(name=name, points=tuple(series), num_left_out=len(points) - len(alike), changes=changes, turns=turns)


def _manner(point: Point) -> tuple[object, ...]:
    """Return what has to be the same of two figures that are set side by side."""
    return (point.figure.unit, point.figure.basis, point.asked or point.figure.method)


def _one_a_version(points: Iterable[Point]) -> list[Point]:
    """Return the newest point of each version, with the time of the first."""
    found: dict[str, Point] = {}
    for point in sorted(points, key=lambda point: point.taken_at):
        key = point.version or point.artefact
        found[key] = replace(point, first_at=found[key].first_at) if key in found else point
    return list(found.values())


def _in_order(points: Iterable[Point], order: Sequence[str]) -> list[Point]:
    places = {version: place for place, version in enumerate(order)}
    return sorted(points, key=lambda point: (places.get(point.version or "", len(places)), point.first_at))


def _changes_in(series: Sequence[Point]) -> Changes | None:
    if len(series) < MIN_POINTS:
        return None
    seen = series[-MAX_POINTS:]
    errors = np.array([np.nan if point.standard_error is None else point.standard_error for point in seen])
    return find_changes(
        [point.figure.value for point in seen],
        None if np.isnan(errors).all() else errors,
        generator=np.random.default_rng(_SEED),
    )


def _turn(change: Change, series: Sequence[Point], better: Direction | None) -> Turn:
    before, after = series[change.place - 1], series[change.place]
    if better is None:
        verdict: Literal["regression", "improvement", "change"] = "change"
    else:
        verdict = "improvement" if (change.size > 0) == (better == "higher") else "regression"
    return Turn(
        change=change,
        point=after,
        verdict=verdict,
        environment=environment_changes(before.environment, after.environment),
    )


def _turn_words(turn: Turn) -> str:
    change, name = turn.change, turn.point.version or turn.point.artefact
    why = f", where also {', '.join(turn.environment)}" if turn.environment else ""
    return (
        f"{turn.verdict} at {turn.point.model} ({name.removeprefix('b3:')[:10]}): {change.before:.4g} to "
        f"{change.after:.4g}, by {change.size:+.3g} [{change.low:+.3g}, {change.high:+.3g}]{why}"
    )


def _flat(environment: Environment) -> dict[str, str]:
    plain = environment.model_dump(exclude={"packages"}, exclude_none=True)
    named = {name: ", ".join(value) if isinstance(value, tuple) else str(value) for name, value in plain.items()}
    return named | environment.packages
