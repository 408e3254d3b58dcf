"""The lineage as a page: versions, runs and datasets in lanes, drawn in place. One file, no network, no script.

The drawing is laid out here in pixels; each row of text beside it is as high as a row of the drawing. A version is a
circle, a run a square, a dataset a diamond. A version leads to its parents and to its run; a run leads to the datasets
of its versions, and a version without a run to its own. Every node is a link to its entry below the drawing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from birdbone.core.files import write_atomically
from birdbone.core.pages import page_environment
from birdbone.vault.folder import explain_write_errors
from birdbone.vault.names import BRANCHES, TAGS
from birdbone.vault.query.fields import newest_measurements, phase_of
from birdbone.vault.query.lanes import LaneRow, branch_order, lay_out
from birdbone.vault.query.lineage import decoration, headline, short_digest
from birdbone.vault.query.snapshot import Snapshot
from birdbone.vault.records import Version

Shape = Literal["version", "run", "dataset"]

_SHAPES: tuple[Shape, ...] = ("dataset", "run", "version")
_LANE_WIDTH = 20
_HEIGHTS: Mapping[Shape, int] = {"version": 88, "run": 54, "dataset": 54}
"""Height of a row: four lines of text on a narrow screen, or two."""
_LEFT, _TOP = 14, 19
"""Place of a node: from the left, enough for its ring of focus; from its row's top, the middle of the first line."""
_BEND = 40
"""Pixels below a node in which a line reaches its new lane."""
_MAX_KEY_FIGURES = 3
_BYTE_PREFIXES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measurement as it is shown; texts only. `value` and `interval` are empty where there is none."""

    name: str
    value: str
    interval: str
    basis: str
    sample: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A node with what is said of it beside the drawing and below it."""

    shape: Shape
    key: str
    anchor: str
    x: int
    y: int
    title: str
    badges: tuple[str, ...]
    facts: tuple[str, ...]
    """Short facts for the row, most important first."""
    key_figures: tuple[Figure, ...]
    alternative: str
    """The node in words, for those who cannot see it."""
    version: Version | None
    figures: tuple[Figure, ...]
    related: tuple[tuple[str, str], ...]
    """Keys of parents and datasets, or of the versions of a run, each with the word for what it is to this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """A line of the drawing: an SVG path, and the shape of what it leads to."""

    path: str
    leads_to: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All that the template is given."""

    title: str
    width: int
    height: int
    heights: Mapping[Shape, int]
    """Height of a row in pixels, by shape."""
    entries: tuple[Entry, ...]
    strokes: tuple[Stroke, ...]
    anchors: Mapping[str, str]
    counts: Mapping[str, int]
    num_hidden: int


def write_lineage(
    snapshot: Snapshot, path: Path, *, title: str = "Lineage", limit: int | None = None, figures: Sequence[str] = ()
) -> Path:
    """Write the page to `path`, whole or not at all, and return the path. See `render_lineage`.

    Raises:
        DiskFullError, ReadOnlyVaultError: it cannot be written there.
    """
    page = render_lineage(snapshot, title=title, limit=limit, figures=figures)
    with explain_write_errors(path), write_atomically(path) as stream:
        stream.write(page.encode())
    return path


def render_lineage(
    snapshot: Snapshot, *, title: str = "Lineage", limit: int | None = None, figures: Sequence[str] = ()
) -> str:
    """Return the page as HTML. The same snapshot gives the same text.

    Args:
        title: heading of the page.
        limit: at most so many versions; the page says how many are not shown.
        figures: names of the measurements beside each version. None given: the three that most versions have.
    """
    template = page_environment("birdbone.vault.query", {"short_digest": short_digest}).get_template("lineage.html.j2")
    return template.render(picture=lay_out_picture(snapshot, title=title, limit=limit, figures=figures))


def lay_out_picture(
    snapshot: Snapshot, *, title: str = "Lineage", limit: int | None = None, figures: Sequence[str] = ()
) -> Picture:
    """Return where every node and line stands, and what is said of each node; see `render_lineage`."""
    parents = {id: version.parents for id, version in snapshot.versions.items()}
    shown = {id: snapshot.versions[id] for id in branch_order(list(parents), parents)[:limit]}
    leads_to = _leads_to(shown)
    rows = lay_out(branch_order(list(leads_to), leads_to), leads_to)
    names = list(figures) or _common_figures(shown.values())
    anchors = {row.node: f"node-{number}" for number, row in enumerate(rows, start=1)}
    tops = list(accumulate((_HEIGHTS[_shape(row.node)] for row in rows), initial=0))
    places = {row.node: (_x(row.lane), top + _TOP) for row, top in zip(rows, tops, strict=False)}
    entries = tuple(
        _entry(row.node, places[row.node], anchors[row.node], shown=shown, snapshot=snapshot, names=names)
        for row in rows
    )
    num_lanes = max((max((row.lane, *row.passing, *row.links)) for row in rows), default=0) + 1
    counts = Counter(entry.shape for entry in entries)
    return Picture(
        title=title,
        width=_x(num_lanes - 1) + _LEFT,
        height=tops[-1],
        heights=_HEIGHTS,
        entries=entries,
        strokes=tuple(_strokes(rows, tops)),
        anchors=anchors,
        counts={
            "version": counts["version"],
            "branch": sum(name.startswith(BRANCHES) for name in snapshot.refs),
            "tag": sum(name.startswith(TAGS) for name in snapshot.refs),
            "run": counts["run"],
            "dataset": counts["dataset"],
        },
        num_hidden=len(snapshot.versions) - len(shown),
    )


def figure_words(row: Mapping[str, JsonValue]) -> Figure:
    """Return a measurement in words: its value with its unit, its 95 % interval, basis, sample and method."""
    unit = str(row.get("unit") or "")
    low, high = (_number_words(row.get(end), unit) for end in ("low", "high"))
    sample = row.get("sample_size")
    return Figure(
        name=str(row.get("name", "")),
        value=_number_words(row.get("value"), unit),
        interval=f"{low} to {high}" if low and high else "",
        basis=str(row.get("basis") or ""),
        sample=f"{sample:,}" if isinstance(sample, int) else "",
        method=str(row.get("method") or ""),
    )


def _leads_to(shown: Mapping[str, Version]) -> dict[str, tuple[str, ...]]:
    """Return every node of the drawing with those that its lines lead to: versions, then runs, then datasets."""
    found: dict[str, tuple[str, ...]] = {}
    runs: dict[str, dict[str, None]] = {}
    datasets: dict[str, None] = {}
    for id, version in shown.items():
        used = dict.fromkeys(f"dataset:{digest}" for digest in version.lineage.datasets)
        run = version.lineage.run_id
        if run:
            runs.setdefault(f"run:{run}", {}).update(used)
        found[id] = (*version.parents, *([f"run:{run}"] if run else used))
        datasets |= used
    return found | {run: tuple(used) for run, used in runs.items()} | dict.fromkeys(datasets, ())


def _shape(key: str) -> Shape:
    return "run" if key.startswith("run:") else "dataset" if key.startswith("dataset:") else "version"


def _x(lane: int) -> int:
    return _LEFT + lane * _LANE_WIDTH


def _strokes(rows: Sequence[LaneRow], tops: Sequence[int]) -> Iterator[Stroke]:
    """Yield the lines from each row to the next. Lines of descent come last, so that they lie on top."""
    found = [
        stroke for row, (top, below) in zip(rows, pairwise(tops), strict=True) for stroke in _from(row, top, below)
    ]
    yield from sorted(found, key=lambda stroke: _SHAPES.index(stroke.leads_to))


def _from(row: LaneRow, top: int, below: int) -> Iterator[Stroke]:
    """Yield the lines from a row at `top` to the one at `below`; a line that joins another ends where they meet."""
    begin, end = top + _TOP, below + _TOP
    x = _x(row.lane)
    for lane, node in row.passing.items():
        path = _bend(_x(lane), x, begin) if lane == row.pulled else f"M{_x(lane)} {begin}V{end}"
        yield Stroke(path=path, leads_to=_shape(node))
    for lane, node in row.links.items():
        onward = "" if lane in row.passing else f"V{end}"
        path = f"M{x} {begin}" if lane == row.lane else _bend(x, _x(lane), begin)
        yield Stroke(path=path + onward, leads_to=_shape(node))


def _bend(begin: int, end: int, top: int) -> str:
    return f"M{begin} {top}C{begin} {top + _BEND * 3 // 4} {end} {top + _BEND // 4} {end} {top + _BEND}"


def _entry(
    key: str,
    place: tuple[int, int],
    anchor: str,
    *,
    shown: Mapping[str, Version],
    snapshot: Snapshot,
    names: Sequence[str],
) -> Entry:
    shape = _shape(key)
    if shape == "version":
        return _version_entry(key, place, anchor, shown=shown, snapshot=snapshot, names=names)
    name = key.removeprefix(f"{shape}:")
    users = [id for id, version in shown.items() if name in (version.lineage.run_id, *version.lineage.datasets)]
    number = _many(len(users), "version")
    title = f"{shape} {short_digest(name)}"
    facts = (f"behind {number} here",) if shape == "dataset" else (f"made {number} here", _steps(users, shown))
    return Entry(
        shape=shape,
        key=key,
        anchor=anchor,
        x=place[0],
        y=place[1],
        title=title,
        badges=(),
        facts=tuple(fact for fact in facts if fact),
        key_figures=(),
        alternative=f"{title.capitalize()}: {', '.join(fact for fact in facts if fact)}.",
        version=None,
        figures=(),
        related=tuple(("version", id) for id in users),
    )


def _version_entry(
    id: str,
    place: tuple[int, int],
    anchor: str,
    *,
    shown: Mapping[str, Version],
    snapshot: Snapshot,
    names: Sequence[str],
) -> Entry:
    version = shown[id]
    rows = {name: figure_words(row) for name, row in newest_measurements(version).items()}
    key_figures = [rows[name] for name in names if name in rows] or list(rows.values())[:_MAX_KEY_FIGURES]
    badges = decoration(id, snapshot)
    time = version.time.strftime("%Y-%m-%d %H:%M UTC")
    title = headline(version) or "(no message)"
    told = [f"{figure.name} {figure.value}{_estimated(figure)}" for figure in key_figures] or ["not measured"]
    refs = f" Refs: {', '.join(badges)}." if badges else ""
    return Entry(
        shape="version",
        key=id,
        anchor=anchor,
        x=place[0],
        y=place[1],
        title=title,
        badges=tuple(badges),
        facts=(short_digest(id), version.author, time, _step_words(version)),
        key_figures=tuple(key_figures),
        alternative=f"Version {short_digest(id)}: {title}. By {version.author}, {time}.{refs} {', '.join(told)}.",
        version=version,
        figures=tuple(rows.values()),
        related=(
            *(("follows", parent) for parent in version.parents),
            *(("run", f"run:{run}") for run in (version.lineage.run_id,) if run),
            *(("dataset", f"dataset:{digest}") for digest in version.lineage.datasets),
        ),
    )


def _step_words(version: Version) -> str:
    step, phase = version.lineage.step, phase_of(version.lineage.step)
    return f"{step} ({phase})" if phase and phase != step else step


def _steps(users: Sequence[str], shown: Mapping[str, Version]) -> str:
    steps = list(dict.fromkeys(step for id in reversed(users) if (step := shown[id].lineage.step)))
    if len(steps) < 2:
        return "".join(steps)
    return f"{steps[0]} to {steps[-1]}"


def _common_figures(versions: Iterable[Version]) -> list[str]:
    counts: Counter[str] = Counter()
    for version in versions:
        counts.update(newest_measurements(version).keys())
    return [name for name, _ in counts.most_common(_MAX_KEY_FIGURES)]  # equals stay in order of first sight


def _estimated(figure: Figure) -> str:
    return " (estimated)" if figure.basis == "estimated" else ""


def _number_words(value: JsonValue, unit: str) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return ""
    if isinstance(value, str):
        return value
    if unit == "byte":
        size, prefix = next(((size, prefix) for size, prefix in _BYTE_PREFIXES if abs(value) >= size), (1.0, "B"))
        return f"{value / size:.4g} {prefix}"
    return f"{value:.5g} {unit}".strip() if unit != "1" else f"{value:.5g}"


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
