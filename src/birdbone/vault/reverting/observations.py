"""What was measured on the versions of a ref, in the order in which the ref held them.

An observation is a version of the ref's own line (first parents) with its figures. Two rules make the line one history:

- A version whose artefact an earlier version of the line already had goes *back* to it: what lay between was given up
  and is no longer part of the history. So a revert, by whomever, leaves the history as it was at the state it went back
  to, and the waves that failed are neither a baseline nor a burden to a detector.
- A figure counts if its row says that it was taken on this very artefact (or does not say on which). A row whose value
  is null or a text such as `nan` was taken and came to no finite number; that is a failed figure, and not the same as
  "not measured", which is the absence of the row. A row that does not say that it was measured counts as estimated.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from birdbone.core.measurement import Basis, Measurement
from birdbone.vault.folder import Vault
from birdbone.vault.records import Version
from birdbone.vault.refs.lookup import read_version, resolve

Outcome = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure or verdict as a version's row says it. `value` is NaN where a number was sought and none came."""

    name: str
    value: float
    basis: Basis
    unit: str = ""
    low: float | None = None
    high: float | None = None
    run_id: str = ""
    outcome: Outcome | None = None
    """What a gate said, for a row that is a verdict."""

    @property
    def is_finite(self) -> bool:
        """Whether the figure is a number at all."""
        return math.isfinite(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A version and what is known about it."""

    version: str
    artefact: str
    figures: tuple[Figure, ...]
    """All figures, the newest of a name first."""

    def find(self, name: str, *, accepts_estimates: bool = False) -> Figure | None:
        """Return the newest figure of this name, or None: not measured. An estimate never hides a measured figure."""
        named = [figure for figure in self.figures if figure.name == name]
        measured = [figure for figure in named if figure.basis == "measured"]
        return next(iter(measured or (named if accepts_estimates else ())), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefHistory:
    """The observations of a ref, oldest first; what was given up by going back is not among them."""

    observations: tuple[Observation, ...]
    returns: tuple[bool, ...] = ()
    """For each version of the line, given up or not, oldest first: whether it went back to an earlier artefact."""

    @property
    def waves_since_return(self) -> int | None:
        """How many versions came after the newest one that went back; None if none did."""
        return self.returns[::-1].index(True) if True in self.returns else None


def observe_ref(vault: Vault, ref: str) -> RefHistory:
    """Return the history of a ref (or of a version: as a ref that points at it would have it)."""
    line = [read_version(vault, resolve(vault, ref))]
    while line[-1].parents:
        line.append(read_version(vault, line[-1].parents[0]))
    return observe_versions(reversed(line))


def observe_versions(versions: Iterable[Version]) -> RefHistory:
    """Return the history that versions make, given oldest first. Pure."""
    kept: list[Observation] = []
    returns: list[bool] = []
    for version in versions:
        places = {observation.artefact: place for place, observation in enumerate(kept)}
        place = places.get(version.artefact)
        figures = read_figures(version.measurements, artefact=version.artefact)
        returns.append(place is not None and place < len(kept) - 1)
        if place is not None:
            figures = (*figures, *kept[place].figures)
            del kept[place:]
        kept.append(Observation(version=version.id, artefact=version.artefact, figures=figures))
    return RefHistory(observations=tuple(kept), returns=tuple(returns))


def read_figures(rows: Iterable[Measurement | Mapping[str, Any]], *, artefact: str) -> tuple[Figure, ...]:
    """Return the figures of rows that were taken on `artefact`, the newest of a name first."""
    plain = [row.model_dump(mode="json") if isinstance(row, Measurement) else row for row in rows]
    meant = [row for row in plain if isinstance(row.get("name"), str) and row.get("artefact") in (None, "", artefact)]
    newest_first = sorted(enumerate(meant), key=lambda pair: (_taken_at(pair[1]), pair[0]), reverse=True)
    return tuple(_figure(row) for _, row in newest_first)


def _figure(row: Mapping[str, Any]) -> Figure:
    outcome = row.get("outcome")
    return Figure(
        name=row["name"],
        value=_number(row.get("value")),
        basis="measured" if row.get("basis") == "measured" else "estimated",
        unit=str(row.get("unit") or ""),
        low=_end(row.get("low")),
        high=_end(row.get("high")),
        run_id=str(row.get("run_id") or ""),
        outcome=outcome if outcome in ("pass", "warn", "fail") else None,
    )


def _taken_at(row: Mapping[str, Any]) -> float:
    """Return when a row was taken, in seconds; one that does not say counts as older, and else the later row wins."""
    try:
        moment = dt.datetime.fromisoformat(str(row["taken_at"]))
    except (KeyError, ValueError):
        return -math.inf
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _end(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
