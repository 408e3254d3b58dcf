"""A history as lanes: each version in a row of its own, each line of descent in a lane until it meets its parent.

Theory of operation. Rows are walked from the newest. A lane waits for one version; no two lanes wait for the same. A
version takes the lane that waits for it, or a free one if it is a tip. Its lane then waits for its first parent that no
lane waits for yet; further such parents get new lanes to the right, and where a lane waits for a parent already, a link
leads there. If the only parent is waited for further right, that lane is pulled in, so that the trunk stays left. Lanes
never shift: a line that starts in a lane ends in it. A lane whose line ended is free again, but not for the next row,
where two unrelated versions would stand on top of each other as if one followed the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Charset = Literal["unicode", "ascii"]

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_SHAPES = {
    0: " ",
    _LEFT | _RIGHT: "─",
    _UP | _DOWN: "│",
    _UP | _LEFT: "╯",
    _UP | _RIGHT: "╰",
    _DOWN | _LEFT: "╮",
    _DOWN | _RIGHT: "╭",
    _UP | _DOWN | _LEFT: "┤",
    _UP | _DOWN | _RIGHT: "├",
    _UP | _LEFT | _RIGHT: "┴",
    _DOWN | _LEFT | _RIGHT: "┬",
    _UP | _DOWN | _LEFT | _RIGHT: "┼",
}
_NODE = "●"
_ASCII = str.maketrans("●│─╯╰╮╭┤├┴┬┼", "*|-''..||'.+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """One version and what happens below it. Lanes count from 0 at the left."""

    node: str
    lane: int
    passing: Mapping[int, str]
    """Other lanes that a line runs through, with the version that each waits for."""
    links: Mapping[int, str]
    """Lanes that lead to the parents, with the parent; the lane of the version itself may be one."""
    pulled: int | None
    """A passing lane that ends below this row and goes on in the lane of the version."""

    @property
    def lanes_below(self) -> dict[int, str]:
        """Lanes that a line runs through below this row."""
        return {lane: node for lane, node in {**self.passing, **self.links}.items() if lane != self.pulled}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of the drawing; `node` is None on a line that only joins lanes."""

    graph: str
    node: str | None
    text: str = ""
    """What stands beside the drawing."""

    def __str__(self) -> str:
        return f"{self.graph} {self.text}" if self.text else self.graph


def branch_order(newest_first: Sequence[str], parents: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the versions so that a child comes before its parents and a line of descent is not interrupted needlessly.

    Of a merge, the side branch comes first, as in `git log --topo-order`. Tips come as in `newest_first`.
    """
    waiting = dict.fromkeys(newest_first, 0)
    for node in newest_first:
        for parent in _known_parents(node, parents, waiting):
            waiting[parent] += 1
    stack = [node for node in reversed(newest_first) if not waiting[node]]
    order: list[str] = []
    while stack:
        node = stack.pop()
        order.append(node)
        for parent in _known_parents(node, parents, waiting):
            waiting[parent] -= 1
            if not waiting[parent]:
                stack.append(parent)
    return order


def lay_out(order: Sequence[str], parents: Mapping[str, Sequence[str]]) -> list[LaneRow]:
    """Return a row for each version of `order`, which has children before parents.

    A parent that is not in `order` is waited for to the end: its line leaves the picture below.
    """
    lanes = _Lanes()
    return [lanes.place(node, dict.fromkeys(parents.get(node, ()))) for node in order]


def draw_lanes(rows: Sequence[LaneRow], *, charset: Charset = "unicode") -> list[LogLine]:
    """Return the lines of the drawing: one with `●` for each version, and one below it where lanes meet or part."""
    lines: list[LogLine] = []
    for row in rows:
        lines.append(LogLine(graph=_version_line(row), node=row.node))
        if row.pulled is not None or set(row.links) - {row.lane}:
            lines.append(LogLine(graph=_joining_line(row), node=None))
    if charset == "unicode":
        return lines
    return [LogLine(graph=line.graph.translate(_ASCII), node=line.node) for line in lines]


@dataclass(slots=True)
class _Lanes:
    waits_for: dict[int, str] = field(default_factory=dict)
    just_ended: int | None = None

    def place(self, node: str, parents: Mapping[str, None]) -> LaneRow:
        lane = self.lane_of(node)
        lane = self.free_lane(0, but_not=self.just_ended) if lane is None else lane
        self.waits_for.pop(lane, None)
        passing = dict(self.waits_for)
        links, pulled = self.link(lane, list(parents))
        self.just_ended = None if links else lane
        return LaneRow(node=node, lane=lane, passing=passing, links=links, pulled=pulled)

    def link(self, lane: int, parents: list[str]) -> tuple[dict[int, str], int | None]:
        if len(parents) == 1 and (other := self.lane_of(parents[0])) is not None and other > lane:
            del self.waits_for[other]
            self.waits_for[lane] = parents[0]
            return {lane: parents[0]}, other
        links: dict[int, str] = {}
        for parent in parents:
            to = self.lane_of(parent)
            to = self.free_lane(lane) if to is None else to
            self.waits_for[to] = links[to] = parent
        return links, None

    def lane_of(self, node: str) -> int | None:
        return next((lane for lane, awaited in self.waits_for.items() if awaited == node), None)

    def free_lane(self, begin: int, *, but_not: int | None = None) -> int:
        lane = begin
        while lane in self.waits_for or lane == but_not:
            lane += 1
        return lane


def _known_parents(node: str, parents: Mapping[str, Sequence[str]], known: Mapping[str, int]) -> list[str]:
    return [parent for parent in dict.fromkeys(parents.get(node, ())) if parent in known]


def _version_line(row: LaneRow) -> str:
    cells = dict.fromkeys(row.passing, _SHAPES[_UP | _DOWN]) | {row.lane: _NODE}
    return " ".join(cells.get(lane, " ") for lane in range(max(cells) + 1))


def _joining_line(row: LaneRow) -> str:
    """Return the line below a version: a horizontal from its lane to the lanes it is linked to, over those between."""
    ends = [lane for lane in (*row.links, row.pulled) if lane is not None and lane != row.lane]
    left, right = min((row.lane, *ends)), max((row.lane, *ends))
    shapes = dict.fromkeys(row.passing, _UP | _DOWN)
    shapes[row.lane] = _UP | (_DOWN if row.lane in row.links else 0)
    for lane in ends:
        shapes[lane] = _UP if lane == row.pulled else shapes.get(lane, 0) | _DOWN
    for lane in (row.lane, *ends):
        shapes[lane] |= (_LEFT if lane > left else 0) | (_RIGHT if lane < right else 0)
    width = max(max(shapes), right) + 1
    cells = [_SHAPES[shapes.get(lane, _LEFT | _RIGHT if left < lane < right else 0)] for lane in range(width)]
    gaps = ["─" if left <= lane < right else " " for lane in range(width)]
    return "".join(cell + gap for cell, gap in zip(cells, gaps, strict=True)).rstrip()
