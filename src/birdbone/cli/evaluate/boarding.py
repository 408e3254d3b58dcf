"""What `eval board` does and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from birdbone.cli.output import new_table
from birdbone.core import find_workspace, write_atomically
from birdbone.evaluate.benchmarks.standing import standing_words
from birdbone.evaluate.history import open_history
from birdbone.evaluate.history.board import Board, Cell, board_of
from birdbone.evaluate.history.pages import render_board
from birdbone.evaluate.history.wording import NOT_MEASURED, interval_words, percent_words


def read_board() -> Board:
    """Return the leaderboard of the workspace.

    Raises:
        WorkspaceError: there is no workspace here or above.
    """
    return board_of(open_history(find_workspace().folder).records())


def write_page(board: Board, path: Path) -> None:
    """Write the leaderboard as one page, whole or not at all."""
    with write_atomically(path) as stream:
        stream.write(render_board(board).encode())


def board_json(board: Board) -> dict[str, Any]:
    """Return it as plain data; what was not measured is null."""
    return {
        "benchmarks": [
            column.asked.model_dump(mode="json") | {"heading": column.heading, "num_items": column.num_items}
            for column in board.columns
        ],
        "models": [
            {
                "model": row.label,
                "engine": row.engine,
                "artefact": row.subject.artefact,
                "version": row.subject.version,
                "scores": [_cell_json(cell) for cell in row.cells],
            }
            for row in board.rows
        ],
    }


def board_table(board: Board) -> Table:
    """Return it as a table."""
    columns = ("model", "engine", *(column.heading for column in board.columns))
    return new_table(columns, [(row.label, row.engine, *map(_cell_words, row.cells)) for row in board.rows])


def _cell_json(cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    return {
        "value": cell.figure.value,
        "low": cell.figure.low,
        "high": cell.figure.high,
        "chance": cell.evidence.chance,
        "is_above_chance": cell.evidence.is_above_chance,
        "rank": cell.rank,
        "is_shared": cell.is_shared,
        "record": cell.record.id,
    }


def _cell_words(cell: Cell | None) -> str:
    if cell is None:
        return NOT_MEASURED
    chance = "" if cell.evidence.is_above_chance else f", {standing_words(cell.evidence.is_above_chance)}"
    rank = f"{cell.rank}{'=' if cell.is_shared else ''}"
    return f"{rank}. {percent_words(cell.figure.value)} {interval_words(cell.figure)}{chance}"
