"""What a query can ask about: the fields of a version, and the measurements on it.

A field gives the values that it has on a version: none (missing, `null`), one, or several (`ref`, `branch`, `dtype`,
`dataset`). A measurement is asked for by its name and gives its newest figure on that version; `name.low`, `name.high`,
`name.n` (sample size), `name.basis` and `name.unit` give the rest of its row. `measurement.size` is the measurement
`size`, where a field of the version has that name already.

Newest is the latest `taken_at`; a row without that time is older than one with it, and of two equals the later row in
the version counts.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue

from birdbone.vault.errors import UnknownFieldError
from birdbone.vault.names import BRANCHES, TAGS
from birdbone.vault.query.language import FieldName, caret
from birdbone.vault.query.snapshot import Snapshot
from birdbone.vault.records import Version

Datum = str | float | dt.datetime
Kind = Literal["text", "number", "time"]

PHASES = {
    "cut": "compress",
    "log_activations": "compress",
    "wave": "compress",
    "quantize": "compress",
    "low_rank": "compress",
}
"""Phase of each kind of step that compresses. A version does not record its phase, only its step (`wave-3`,
`quantize-try2`), so the phase is read off the step. Steps that measure, convert or keep (`seed`, `export`, `judge`,
`version`) are part of no phase, and neither is a step with a name of its own: there the field is null."""
FORGE_PHASES = frozenset({"cognate", "evomerge", "quietstar", "bitnet", "curriculum", "baking", "experts", "final"})
"""The eight phases of the forge; a step that is called like one is of that phase."""

_STEP_NUMBER = re.compile(r"(-\d+)?(-try\d+)?$")  # of a wave, and of a try after a failed gate
_MEASUREMENT = "measurement."
_PARTS = {"low": "low", "high": "high", "n": "sample_size", "basis": "basis", "unit": "unit"}
_MAX_NEAREST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field: what kind of values it has, what it means, its values on a version, and those that a person is shown."""

    kind: Kind | None
    """None where only the values can tell: a measurement's."""
    meaning: str
    values: Callable[[Snapshot, str, Version], tuple[Datum, ...]]
    shown: Callable[[Snapshot, str, Version], tuple[Datum, ...]] | None = None
    """Where a value answers to several names, those that are shown; else all."""
    is_set: bool = False
    """Whether a version can have several values; a row then holds a list."""


def phase_of(step: str) -> str | None:
    """Return the phase that a step (`wave-3-try2`) belongs to, or None: see `PHASES`."""
    kind = _STEP_NUMBER.sub("", step)
    return kind if kind in FORGE_PHASES else PHASES.get(kind)


def newest_measurements(version: Version) -> dict[str, Mapping[str, JsonValue]]:
    """Return the newest row of each measurement on a version, by name, in the order in which the names first stand."""
    newest: dict[str, tuple[dt.datetime, Mapping[str, JsonValue]]] = {}
    for row in version.measurements:
        name, taken_at = row.get("name"), _taken_at(row)
        if isinstance(name, str) and (name not in newest or taken_at >= newest[name][0]):
            newest[name] = (taken_at, row)
    return {name: row for name, (_, row) in newest.items()}


def as_time(text: str) -> dt.datetime:
    """Return the moment that a text means; midnight if it is a date, UTC if it names no zone.

    Raises:
        ValueError: it is no ISO 8601 date or time.
    """
    moment = dt.datetime.fromisoformat(text)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def ref_words(name: str) -> str:
    """Return a ref as people read it: `main` for a branch, `tags/v1` for a tag, `HEAD`."""
    return name.removeprefix(BRANCHES) if name.startswith(BRANCHES) else name.removeprefix("refs/")


def find_fields(names: Iterable[FieldName], snapshot: Snapshot, *, text: str) -> dict[str, Field]:
    """Return the field of each name.

    Raises:
        UnknownFieldError: neither a field nor a measurement of any version is called so. The hint names the nearest.
    """
    measured = {name for version in snapshot.versions.values() for name in newest_measurements(version)}
    found: dict[str, Field] = {}
    for name in names:
        field = _find_field(name.name, measured)
        if field is None:
            raise _unknown(name, measured, text=text, num_versions=len(snapshot.versions))
        found[name.name] = field
    return found


def _find_field(name: str, measured: set[str]) -> Field | None:
    if name in FIELDS:
        return FIELDS[name]
    name = name.removeprefix(_MEASUREMENT) if name not in measured else name
    if name in measured:
        return Field(kind=None, meaning="the newest figure", values=_part_of(name, "value"))
    stem, _, part = name.rpartition(".")
    if stem in measured and part in _PARTS:
        kind: Kind = "text" if part in ("basis", "unit") else "number"
        return Field(kind=kind, meaning=f"{part} of {stem}", values=_part_of(stem, _PARTS[part]))
    return None


def _unknown(name: FieldName, measured: set[str], *, text: str, num_versions: int) -> UnknownFieldError:
    known = [*FIELDS, *sorted(measured), *(f"{stem}.{part}" for stem in sorted(measured) for part in _PARTS)]
    near = difflib.get_close_matches(name.name, known, n=_MAX_NEAREST)
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    else:
        hint = f"Fields are {', '.join(FIELDS)}; measured was {', '.join(sorted(measured)) or 'nothing'}."
    what = f"None of {num_versions} versions has a field or a measurement {name.name!r}."
    return UnknownFieldError(
        f"{what}\n{caret(text, name.position)}", hint=hint, query=text, position=name.position, nearest=near
    )


def _part_of(name: str, part: str) -> Callable[[Snapshot, str, Version], tuple[Datum, ...]]:
    def values(_snapshot: Snapshot, _id: str, version: Version) -> tuple[Datum, ...]:
        return _present(newest_measurements(version).get(name, {}).get(part))

    return values


def _taken_at(row: Mapping[str, JsonValue]) -> dt.datetime:
    try:
        return as_time(str(row.get("taken_at")))
    except (ValueError, OverflowError):
        return dt.datetime.min.replace(tzinfo=dt.UTC)


def _present(*values: Any) -> tuple[Datum, ...]:
    """Return the values that say something: no None, no empty text, nothing but texts, numbers and times."""
    return tuple(
        value
        for value in values
        if isinstance(value, str | int | float | dt.datetime) and not isinstance(value, bool) and value != ""
    )


def _ref_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return every name that a ref answers to: `refs/tags/v1`, `tags/v1`, `v1`."""
    ways = (
        (name, name.removeprefix("refs/"), name.removeprefix(BRANCHES).removeprefix(TAGS), ref_words(name))
        for name in names
    )
    return tuple(dict.fromkeys(way for group in ways for way in group))


def _dtypes(snapshot: Snapshot, version: Version) -> tuple[str, ...]:
    return tuple(sorted({entry.dtype for entry in snapshot.manifest(version.artefact).tensors().values()}))


def _num_tensors(snapshot: Snapshot, version: Version) -> int | None:
    """Return how many tensors the safetensors files hold; None without such a file: nobody has counted then."""
    manifest = snapshot.manifest(version.artefact)
    is_counted = any(file.layout == "safetensors" for file in manifest.files)
    return len(manifest.tensors()) if is_counted else None


FIELDS: dict[str, Field] = {
    "id": Field(kind="text", meaning="id of the version, b3:…", values=lambda _s, id, _v: (id,)),
    "artefact": Field(kind="text", meaning="digest of what it keeps", values=lambda _s, _i, v: (v.artefact,)),
    "author": Field(kind="text", meaning="who committed", values=lambda _s, _i, v: _present(v.author)),
    "time": Field(kind="time", meaning="when, UTC", values=lambda _s, _i, v: (v.time,)),
    "message": Field(kind="text", meaning="why", values=lambda _s, _i, v: _present(v.message)),
    "run": Field(
        kind="text", meaning="id of the run that made it", values=lambda _s, _i, v: _present(v.lineage.run_id)
    ),
    "step": Field(kind="text", meaning="step of that run", values=lambda _s, _i, v: _present(v.lineage.step)),
    "phase": Field(
        kind="text",
        meaning="phase of that step, where it is part of one",
        values=lambda _s, _i, v: _present(phase_of(v.lineage.step)),
    ),
    "dataset": Field(
        kind="text",
        meaning="digests of the datasets that it was made from or judged on",
        values=lambda _s, _i, v: _present(*v.lineage.datasets),
        is_set=True,
    ),
    "kind": Field(kind="text", meaning="model, mask, …", values=lambda s, _i, v: _present(s.manifest(v.artefact).kind)),
    "size": Field(
        kind="number",
        meaning="bytes of its files as they are checked out",
        values=lambda s, _i, v: (s.manifest(v.artefact).size_bytes,),
    ),
    "num_tensors": Field(
        kind="number",
        meaning="tensors in its safetensors files; null without such a file",
        values=lambda s, _i, v: _present(_num_tensors(s, v)),
    ),
    "num_parents": Field(kind="number", meaning="versions that it follows", values=lambda _s, _i, v: (len(v.parents),)),
    "dtype": Field(
        kind="text",
        meaning="dtypes of its tensors, as safetensors writes them",
        values=lambda s, _i, v: _dtypes(s, v),
        is_set=True,
    ),
    "ref": Field(
        kind="text",
        meaning="branches and tags that point at it, and HEAD",
        values=lambda s, id, _v: _ref_names(s.refs_of.get(id, ())),
        shown=lambda s, id, _v: tuple(map(ref_words, s.refs_of.get(id, ()))),
        is_set=True,
    ),
    "branch": Field(
        kind="text",
        meaning="branches that it can be reached from",
        values=lambda s, id, _v: _ref_names(s.branches_of.get(id, ())),
        shown=lambda s, id, _v: tuple(map(ref_words, s.branches_of.get(id, ()))),
        is_set=True,
    ),
}
"""The fields of a version."""
