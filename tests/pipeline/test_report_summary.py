"""The rows of the before-and-after table."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.core import Measurement
from birdbone.pipeline.report import SummaryRow, summary_rows
from birdbone.pipeline.report.summary import compared_files, quotient

from .report_fixtures import (
    DENSE_GGUF,
    FALLBACK_GGUF,
    GGUFS,
    STATES,
    cut_view,
    empty_view,
    fallback_view,
    figure,
    full_view,
    view_without,
)

NAMES = sorted({row.name for row in full_view().measurements})


def row_of(rows: list[SummaryRow], name: str) -> SummaryRow:
    return {row.name: row for row in rows}[name]


@given(st.sets(st.sampled_from(NAMES)))
def test_before_and_after_are_rows_of_the_run_whatever_is_missing(missing: set[str]) -> None:
    view = view_without(*missing)
    for row in summary_rows(view):
        assert all(found is None or found in view.measurements for found in (row.before, row.after))
        assert row.name not in missing or (row.before is None and row.after is None)


@given(st.sets(st.sampled_from(NAMES)))
def test_a_change_is_a_paired_row_or_the_quotient_of_its_two(missing: set[str]) -> None:
    view = view_without(*missing)
    for row in summary_rows(view):
        if row.change is not None and row.change not in view.measurements:
            assert row.before is not None
            assert row.after is not None
            assert row.change.value * row.before.value == pytest.approx(row.after.value)
            assert row.change.low is None


def test_there_are_always_the_same_rows() -> None:
    views = [full_view(), empty_view(), fallback_view(), cut_view("judge", status="stopped")]
    assert len({tuple(row.label for row in summary_rows(view)) for view in views}) == 1


def test_after_is_the_file_that_the_run_exports() -> None:
    rows = summary_rows(full_view())
    assert {row.after.artefact for row in rows if row.after} == {GGUFS[1], STATES[1]}
    assert row_of(rows, "perplexity_gguf").after == full_view().figure("perplexity_gguf", GGUFS[1])


def test_the_baseline_rate_is_that_of_the_turns_the_candidate_was_timed_in() -> None:
    view = cut_view("version", status="stopped")
    later = figure("decode_rate", 99.0, step="another", artefact=DENSE_GGUF, unit="token/s")
    row = row_of(summary_rows(dataclasses.replace(view, measurements=(*view.measurements, later))), "decode_rate")
    assert row.before is not None
    assert row.after is not None
    assert row.before.step == row.after.step == "judge-try2"


def test_an_estimate_makes_its_row_an_estimate() -> None:
    bases = {row.name: row.basis for row in summary_rows(full_view())}
    assert bases.pop("bytes_per_token") == "estimated"
    assert set(bases.values()) == {"measured"}


def test_a_run_that_never_began_has_measured_nothing() -> None:
    assert {(row.before, row.after, row.change, row.basis) for row in summary_rows(empty_view())} == {(None,) * 4}


def test_without_a_verdict_after_is_the_candidate() -> None:
    files = compared_files(cut_view("judge", status="stopped"))
    assert (files.standing, files.after, files.after_model) == ("candidate", GGUFS[0], STATES[2])


def test_without_a_file_after_is_the_last_good_state() -> None:
    view = cut_view("wave-4", status="failed")
    assert (compared_files(view).standing, compared_files(view).after) == ("none", None)
    row = row_of(summary_rows(view), "perplexity")
    assert row.after == view.figure("perplexity", STATES[2])


def test_a_float_file_that_was_only_weighed_shows_no_quality() -> None:
    rows = summary_rows(fallback_view())
    assert compared_files(fallback_view()).after == FALLBACK_GGUF
    assert row_of(rows, "size").after is not None
    assert row_of(rows, "perplexity_gguf").after is None
    assert row_of(rows, "decode_rate").change is None


@given(st.floats(1e-3, 1e12), st.floats(1e-3, 1e12))
def test_a_quotient_turned_round_is_its_inverse(before: float, after: float) -> None:
    one = figure("size", before, step="seed", artefact="a", unit="byte")
    two = figure("size", after, step="export", artefact="b", unit="byte")
    there, back = quotient(one, two), quotient(two, one)
    assert isinstance(there, Measurement)
    assert isinstance(back, Measurement)
    assert there.value * back.value == pytest.approx(1)


def test_there_is_no_quotient_of_different_units_or_of_nothing() -> None:
    size = figure("size", 1.0, step="seed", artefact="a", unit="byte")
    rate = figure("decode_rate", 1.0, step="seed", artefact="a", unit="token/s")
    assert quotient(size, rate) is None
    assert quotient(size.model_copy(update={"value": 0.0}), size) is None
    assert quotient(None, size) is None


def test_the_report_loads_without_torch() -> None:
    program = "import sys, birdbone.pipeline.report; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
