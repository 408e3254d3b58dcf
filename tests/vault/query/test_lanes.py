"""The drawing is the history: read back, its lines are the edges."""

import itertools
import textwrap

import pytest
from hypothesis import given, settings

from birdbone.vault.query.lanes import branch_order, draw_lanes, lay_out

from ..histories import snapshots

UP, DOWN, LEFT, RIGHT = "╯╰┤├┴┼│●", "╮╭┤├┬┼│●", "╯╮┤┴┬┼─", "╰╭├┴┬┼─"


def drawn(edges: str, *, charset="unicode") -> str:
    """`M:A,B A:R B:R R:` drawn in the order given."""
    parents = {
        node: tuple(filter(None, rest.split(","))) for node, _, rest in (e.partition(":") for e in edges.split())
    }
    lines = draw_lanes(lay_out(list(parents), parents), charset=charset)
    return "\n".join(f"{line.graph}  {line.node}" if line.node else line.graph for line in lines)


def edges_read_back(lines) -> set[tuple[str, str]]:
    """Follow every line of the drawing down from its version, as an eye does."""
    grid, found = [line.graph for line in lines], set()

    def char(row: int, column: int) -> str:
        return grid[row][column] if row < len(grid) and 0 <= column < len(grid[row]) else " "

    def fall(start: str, row: int, column: int) -> None:
        """Arrive in a cell from above."""
        if char(row, column) == "●":
            found.add((start, lines[row].node))
        elif char(row, column) in UP:
            is_below_start = char(row - 1, column) == "●" and lines[row - 1].node == start
            if char(row, column) in DOWN:
                fall(start, row + 1, column)
            if is_below_start or char(row, column) not in DOWN:
                slide(start, row, column, -1)
                slide(start, row, column, 1)

    def slide(start: str, row: int, column: int, step: int) -> None:
        """Leave a cell sideways; a vertical line is passed under."""
        onward, arriving = (LEFT, RIGHT) if step < 0 else (RIGHT, LEFT)
        if char(row, column) not in onward:
            return
        while char(row, column) in onward + "│":
            column += step
            if char(row, column) == "│":
                continue
            assert char(row, column) in arriving
            if char(row, column) in DOWN:
                fall(start, row + 1, column)

    for row, line in enumerate(lines):
        column = line.graph.find("●")
        if column >= 0:
            fall(line.node, row + 1, column)
    return found


@settings(max_examples=400, deadline=None)
@given(snapshots(max_versions=14))
def test_the_drawing_read_back_is_the_history(snapshot):
    parents = {id: version.parents for id, version in snapshot.versions.items()}
    for order in (branch_order(list(parents), parents), list(snapshot.versions)):
        lines = draw_lanes(lay_out(order, parents))
        assert [line.node for line in lines if line.node] == order
        assert sorted(order) == sorted(parents)
        assert edges_read_back(lines) == {(child, parent) for child in parents for parent in parents[child]}
        rank = {node: number for number, node in enumerate(order)}
        assert all(rank[child] < rank[parent] for child in parents for parent in parents[child])


@settings(max_examples=100, deadline=None)
@given(snapshots())
def test_the_newest_part_of_a_history_shows_the_edges_inside_it(snapshot):
    parents = {id: version.parents for id, version in snapshot.versions.items()}
    shown = list(parents)[: len(parents) // 2 + 1]
    lines = draw_lanes(lay_out(shown, parents))
    inside = {(child, parent) for child in shown for parent in parents[child] if parent in shown}
    assert {edge for edge in edges_read_back(lines) if edge[1]} == inside


@settings(max_examples=100, deadline=None)
@given(snapshots())
def test_a_line_stays_in_its_lane_and_no_two_wait_for_the_same_version(snapshot):
    parents = {id: version.parents for id, version in snapshot.versions.items()}
    rows = lay_out(list(parents), parents)
    for above, below in itertools.pairwise(rows):
        assert set(below.passing) == set(above.lanes_below) - {below.lane}
        assert len(set(above.lanes_below.values())) == len(above.lanes_below)


@pytest.mark.parametrize(
    ("edges", "drawing"),
    [
        (
            "C:B B:A A:",
            """
            ●  C
            ●  B
            ●  A
            """,
        ),
        (
            "M:X,Y Y:R X:R R:",
            """
            ●  M
            ├─╮
            │ ●  Y
            ● │  X
            ├─╯
            ●  R
            """,
        ),
        (
            "X:R Y:R R:",
            """
            ●  X
            │ ●  Y
            ├─╯
            ●  R
            """,
        ),
        (
            "M:A,B,C C:R B:R A:R R:",
            """
            ●  M
            ├─┬─╮
            │ │ ●  C
            │ ● │  B
            │ ├─╯
            ● │  A
            ├─╯
            ●  R
            """,
        ),
        (
            "X:R Y:S M:Z,R Z:R S: R:",
            """
            ●  X
            │ ●  Y
            │ │ ●  M
            ├─│─┤
            │ │ ●  Z
            ├─│─╯
            │ ●  S
            ●  R
            """,
        ),
        (
            "A: B: C:",
            """
            ●  A
              ●  B
            ●  C
            """,
        ),
        (
            "A:B B:old",
            """
            ●  A
            ●  B
            """,
        ),
    ],
)
def test_histories_are_drawn_as_by_hand(edges, drawing):
    assert drawn(edges) == textwrap.dedent(drawing).strip("\n")


def test_a_terminal_without_unicode_gets_plain_characters():
    assert drawn("M:X,Y Y:R X:R R:", charset="ascii").split("\n") == ["*  M", "|-.", "| *  Y", "* |  X", "|-'", "*  R"]


def test_of_a_merge_the_side_branch_comes_first_and_lines_are_not_mixed():
    parents = {"M": ("A2", "B2"), "A2": ("A1",), "B2": ("B1",), "B1": ("R",), "A1": ("R",), "R": ()}
    assert branch_order(["M", "A2", "B2", "B1", "A1", "R"], parents) == ["M", "B2", "B1", "A2", "A1", "R"]
    assert branch_order(["T", "B2", "B1", "A1", "R"], {**parents, "T": ("A1",)}) == ["T", "A1", "B2", "B1", "R"]
