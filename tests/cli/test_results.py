"""The result of a run: each figure from the artefact it is said to be of, and nothing that was not measured."""

from __future__ import annotations

import pytest

from birdbone.cli import words
from birdbone.cli.comparison import compare
from birdbone.cli.results import footer, gate_verdict, result_data, result_rows, undone
from birdbone.core import Workspace
from birdbone.pipeline import service

from .recorded import DENSE_GGUF, GGUF, WAVE_1, figure, record_run


def rows_of(workspace: Workspace, run_id: str) -> dict[str, tuple[float | None, float | None]]:
    rows = result_rows(service.view_run(workspace, run_id))
    return {row.name: tuple(side.value if side else None for side in (row.before, row.after)) for row in rows}  # type: ignore[misc]


def test_before_is_the_dense_file_and_after_the_exported_one(workspace: Workspace, finished_run: str) -> None:
    rows = rows_of(workspace, finished_run)
    assert rows["size"] == (270e6, 90e6)
    assert rows["perplexity_gguf"] == (20.01, 20.4), "not the 29.0 of the rejected candidate"
    assert rows["perplexity_ratio"] == (None, 1.02)
    assert rows["decode_rate"] == (50.0, 100.0)
    assert rows["perplexity"] == (20.0, 20.2), "the wave that was exported, not the newest"
    assert rows["sparsity"] == (None, pytest.approx(0.1))


def test_every_figure_carries_the_artefact_it_was_taken_on(workspace: Workspace, finished_run: str) -> None:
    rows = result_rows(service.view_run(workspace, finished_run))
    assert {row.before.artefact for row in rows if row.before and row.name == "size"} == {DENSE_GGUF}
    assert {row.after.artefact for row in rows if row.after} == {GGUF, WAVE_1}


def test_an_unfinished_run_shows_only_what_was_measured(workspace: Workspace) -> None:
    run_id = record_run(workspace, "demo-20260101-000000-cccc", num_steps=1, status="stopped")
    view = service.view_run(workspace, run_id)
    rows = rows_of(workspace, run_id)
    assert rows["size"] == (270e6, None)
    assert rows["perplexity"] == (20.0, None)
    assert gate_verdict(view) is None
    assert next(footer(view)) == "verdict: not judged"
    assert [entry["after"] for entry in result_data(view)["figures"]] == [None] * len(rows)


def test_what_was_undone_is_told_with_its_reason(workspace: Workspace, finished_run: str) -> None:
    assert undone(service.view_run(workspace, finished_run)) == [
        "wave-2: the reason of wave 2",
        "wave-3: the reason of wave 3",
        "judge: the candidate of wave 1 was rejected: perplexity_ratio: 1.45",
    ]


def test_a_wave_on_probation_is_left_out_only_once_the_waves_have_ended(workspace: Workspace) -> None:
    run_id = record_run(workspace, "demo-20260101-000000-dddd", num_steps=4, status="running")
    assert undone(service.view_run(workspace, run_id)) == []


def test_files_are_named_only_if_they_are_there(workspace: Workspace, finished_run: str) -> None:
    view = service.view_run(workspace, finished_run)
    assert result_data(view)["files"] == {}
    (view.folder / "exports").mkdir()
    (view.folder / "exports" / "demo-q4_0.gguf").touch()
    (view.folder / "report.html").touch()
    assert set(result_data(view)["files"]) == {"GGUF", "report"}


def test_a_run_differs_from_itself_in_nothing(workspace: Workspace, finished_run: str) -> None:
    view = service.view_run(workspace, finished_run)
    figures = compare(view, view)
    assert {row.difference for row in figures} == {0.0}
    assert {row.why_not for row in figures} == {""}


def test_a_difference_needs_two_figures(workspace: Workspace, finished_run: str) -> None:
    other = record_run(workspace, "demo-20260101-000000-eeee", num_steps=2)
    figures = compare(service.view_run(workspace, finished_run), service.view_run(workspace, other))
    assert {row.why_not for row in figures} == {words.NOT_MEASURED}
    assert {row.difference for row in figures} == {None}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (None, "not measured"),
        (figure("perplexity", 17.314, DENSE_GGUF, low=16.9, high=17.8), "17.31 [16.90, 17.80]"),
        (figure("perplexity_ratio", 1.0123, DENSE_GGUF), "1.0123"),
        (figure("size", 270.9e6, DENSE_GGUF, unit="byte"), "270.9 MB"),
        (
            figure("bytes_per_token", 92e6, DENSE_GGUF, unit="byte/token", basis="estimated"),
            "92.00 MB/token (estimated)",
        ),
        (figure("decode_rate", 103.25, DENSE_GGUF, unit="token/s"), "103.2 tokens/s"),
        (figure("sparsity", 0.271, DENSE_GGUF), "27.10 %"),
    ],
)
def test_a_figure_in_words(row: object, text: str) -> None:
    assert words.figure(row) == text  # type: ignore[arg-type]
