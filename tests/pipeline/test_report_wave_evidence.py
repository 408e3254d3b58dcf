"""What the page and the exports tell of plans, forecasts, damage and spikes; and that they invent nothing."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from typing import Any

import pytest

from birdbone.pipeline.report import build_report, render_report
from birdbone.pipeline.report.heat_map import log_shades
from birdbone.pipeline.report.wave_evidence import damage_grid, read_evidence
from birdbone.pipeline.report.wave_export import wave_csv, wave_rows
from birdbone.pipeline.report.waves import next_wave_of, read_waves
from birdbone.pipeline.service import RunView

from .report_fixtures import NUM_LAYERS, full_view

FORECAST = {"rise": 0.012, "low": 0.004, "high": 0.02, "error": 0.003, "error_of_mean": 0.005, "num_waves": 3}


def told_notes(number: int) -> dict[str, Any]:
    """Made-up notes of a wave that noted everything."""
    damage = [1e-4 * number * (1 + layer % 7) for layer in range(NUM_LAYERS)]
    return {
        "fraction": 0.02 * number,
        "healing_factor": 1.0,
        "plan_reason": "a cautious start" if number == 1 else "1 stable in a row",
        "forecast": FORECAST if number == 4 else None,
        "step_rise": 0.01,
        "seconds": 74.5,
        "damage_by_layer": {"own": damage, "propagated": [3 * each for each in damage], "num_tokens": 1024},
        "spikes": [{"block": 3, "start": 41, "severity": "mild", "votes": ["deviation"]}] if number == 2 else [],
        "next_wave": {"fraction": 0.05, "healing_factor": 1.0, "reason": "1 stable in a row", "forecast": FORECAST},
    }


@pytest.fixture
def view() -> RunView:
    whole = full_view()
    steps = []
    for step in whole.steps:
        if step.kind == "waves" and step.result is not None:
            notes = step.result["notes"] | told_notes(step.result["notes"]["wave"])
            step = dataclasses.replace(step, result={**step.result, "notes": notes})
        steps.append(step)
    return dataclasses.replace(whole, steps=tuple(steps))


def test_the_page_tells_plan_forecast_cost_damage_and_spikes(view: RunView) -> None:
    page = render_report(build_report(view))
    for words in (
        "a cautious start",
        "+1.21 %",  # exp(0.012), the forecast
        "+1.00 %",  # the cost
        "mild in layer 3 at step 41",
        "Own damage by layer and wave",
        "Propagated damage by layer and wave",
        "on 1,024 tokens",
        "The next wave was to shed 5.00 %",
        "with an error of 0.003 nats on 3 waves, 0.005 by their mean",
    ):
        assert words in page, words
    assert page.count('class="badge estimated"') >= 2


def test_what_older_runs_did_not_note_is_not_measured() -> None:
    page = render_report(build_report(full_view()))
    assert "The waves noted no plans" in page
    assert "Damage by layer: <span" in page
    row = wave_rows(read_waves(full_view()))[0]
    assert {row[name] for name in ("planned_fraction", "forecast", "cost", "num_spikes", "worst_layer")} == {None}
    assert next_wave_of(full_view()) is None


def test_rows_and_csv_agree(view: RunView) -> None:
    waves = read_waves(view)
    rows, parsed = wave_rows(waves), list(csv.DictReader(io.StringIO(wave_csv(waves))))
    assert [row["wave"] for row in rows] == [1, 2, 3, 4]
    assert [row["num_spikes"] for row in rows] == [0, 1, 0, 0]
    assert {row["worst_layer"] for row in rows} == {6}
    assert rows[3]["forecast"] == 0.012
    assert rows[0]["cost"] == pytest.approx(math.log(1.01))
    for row, line in zip(rows, parsed, strict=True):
        assert {name: "" if value is None else str(value) for name, value in row.items()} == line


def test_damage_that_is_not_finite_leaves_its_place_empty() -> None:
    evidence = read_evidence({"damage_by_layer": {"own": [0.1, None, 0.3], "propagated": [], "num_tokens": 8}})
    assert evidence.worst_layer == 2
    grid = damage_grid([("wave 1", evidence.own_damage), ("wave 2", ())])
    assert grid is not None
    assert (grid.kinds, grid.layers, grid.values) == (("wave 1",), (0, 1, 2), ((0.1, None, 0.3),))
    assert damage_grid([("wave 1", (None,))]) is None


def test_shades_go_by_equal_factors() -> None:
    shades = log_shades((1e-6, 1.0), str)
    assert shades.bounds == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    assert [shades(value) for value in (0.0, 1e-6, 2e-5, 0.5)] == ["q0", "q0", "q1", "q5"]
    assert log_shades((0.0, 0.0), str).names == ("0.0",)
