"""What became of each wave."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.pipeline.report.waves import Wave, chosen_wave, exported_wave, read_waves
from birdbone.pipeline.service import RunView
from birdbone.watch import Metric

from .report_fixtures import cut_view, empty_view, fallback_view, full_view


def view_of(verdicts: list[str]) -> RunView:
    """A made-up run whose waves got these verdicts and that exported nothing."""
    whole = full_view()
    pattern = next(step for step in whole.steps if step.kind == "waves")
    assert pattern.result is not None
    steps = []
    for number, verdict in enumerate(verdicts, start=1):
        notes = {**pattern.result["notes"], "wave": number, "verdict": verdict}
        steps.append(dataclasses.replace(pattern, label=f"wave-{number}", result={**pattern.result, "notes": notes}))
    return dataclasses.replace(whole, steps=(whole.steps[0], *steps))


def fates(view: RunView) -> list[str]:
    return [wave.fate for wave in read_waves(view)]


@given(st.lists(st.sampled_from(["good", "probation", "undone"]), max_size=12))
def test_a_wave_on_probation_has_the_fate_of_the_next_decision(verdicts: list[str]) -> None:
    told = fates(view_of(verdicts))
    for number, verdict in enumerate(verdicts):
        decision = next((later for later in verdicts[number:] if later != "probation"), None)
        assert told[number] == {"good": "kept", "undone": "undone", None: "left out"}[decision], verdict


def test_a_good_wave_beyond_the_exported_one_is_set_aside() -> None:
    assert fates(full_view()) == ["kept", "set aside", "undone", "undone"]


def test_a_run_that_fell_back_exports_the_wave_it_fell_back_to() -> None:
    assert exported_wave(fallback_view()) == 2
    assert fates(fallback_view()) == ["kept", "kept", "undone", "undone"]


def test_a_rejected_file_is_no_export() -> None:
    view = cut_view("quantize-try2", status="stopped")
    assert exported_wave(view) is None
    chosen = chosen_wave(read_waves(view), None)
    assert isinstance(chosen, Wave)
    assert chosen.number == 2


def test_the_limit_is_the_nearer_of_the_two_that_the_recipe_sets() -> None:
    first, second, third, fourth = read_waves(full_view())
    assert first.limit == pytest.approx(13.340 * 1.02)
    assert second.limit == pytest.approx(13.352 * 1.02)
    assert third.limit == pytest.approx(13.340 * 1.03)
    assert third.limit == fourth.limit


def test_each_wave_is_held_against_the_good_one_before_it() -> None:
    values = [wave.last_good.value for wave in read_waves(full_view()) if wave.last_good]
    assert values == [13.340, 13.352, 13.492, 13.492]


def test_every_figure_of_a_wave_is_a_row_of_its_own_step() -> None:
    view = full_view()
    for wave in read_waves(view):
        for found in (wave.perplexity, wave.ratio, wave.sparsity):
            assert found in view.measurements
            assert found is not None
            assert found.step == wave.label


def test_an_unfinished_wave_tells_why_and_keeps_what_it_logged() -> None:
    error = {"code": "made.up", "message": "It stopped for a test.", "hint": ""}
    at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    values = [0.2, 0.1, float("nan"), 0.3]
    metrics = [
        Metric(name="healing_error", value=value, step=step, unit="", at=at, run_id="r", phase="wave-3")
        for step, value in enumerate(values)
    ]
    *_, wave = read_waves(cut_view("wave-3", status="failed", error=error), metrics)
    assert (wave.fate, wave.verdict, wave.perplexity, wave.reason) == ("unfinished", None, None, error["message"])
    assert wave.errors_after == (0.2, 0.1)


def test_a_run_without_waves_has_none() -> None:
    assert read_waves(empty_view()) == ()
    assert chosen_wave((), None) is None
    assert chosen_wave((), 0) is None
