"""Each recommendation names a setting that there is, turns it the way it says, and stays within its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.evaluate import GateRule
from birdbone.evaluate.gates import Finding
from birdbone.evaluate.gates.rules import NoWorseRule, PerplexityRatioRule
from birdbone.pipeline.catalogue import settings_types
from birdbone.pipeline.recipe import Recipe, change_recipe, load_recipe, resolve_recipe
from birdbone.pipeline.recommendations import (
    LARGER_TYPES,
    TABLE,
    Failure,
    Knob,
    Recommendation,
    earliest_step,
    find_setting,
    recommend,
)

RECIPES = Path(__file__).parents[2] / "recipes"
DEMO = resolve_recipe(load_recipe(RECIPES / "demo.yaml"))
KNOBS = sorted({knob for knobs in TABLE.values() for knob in knobs}, key=lambda knob: (knob.path, knob.direction))


def failed(measurement: str, *, floor: Any = None, outcome: Any = "fail", figure: float | None = 2.0) -> Finding:
    rule = GateRule(measurement=measurement, kind="at_most", limit=1.0)
    return Finding(rule=rule, name=rule.label, outcome=outcome, reason="made up", figure=figure, floor=floor)


def changes_of(found: tuple[Recommendation, ...]) -> dict[str, tuple[Any, Any]]:
    return {change.path: (change.before, change.after) for each in found for change in each.changes}


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: f"{knob.path} {knob.direction}")
def test_every_setting_of_the_table_is_one_of_a_step_and_can_be_turned(knob: Knob) -> None:
    kind, *path = knob.path.split(".")
    settings = settings_types()[kind](kind=kind)
    found = find_setting(settings, path)
    assert found is not None
    value, field = found
    if knob.factor is None:
        assert isinstance(value, dict) or value in LARGER_TYPES
    else:
        assert isinstance(value, int | float)
        assert field.metadata, "a number without bounds could be turned for ever"
        assert (knob.factor > 1) == (knob.direction == "up")


def test_the_table_has_a_row_for_every_stage_and_every_kind_of_failure_somewhere() -> None:
    assert {stage for stage, _ in TABLE} == {"waves", "quantize", "judge", "cumulative"}
    assert {failure for _, failure in TABLE} == set(get_args(Failure))


def test_quantize_that_fails_on_perplexity_gets_the_next_larger_type() -> None:
    (found,) = recommend(DEMO, [failed("perplexity_ratio", floor="quantize")])
    assert changes_of((found,)) == {
        "quantize.format.linears": ("q4_0", "q4_1"),
        "quantize.format.by_role": ({"up": "q4_1", "down": "q4_1"}, {"up": "q5_0", "down": "q5_0"}),
    }
    assert found.words == (
        "quantize.format.linears q4_0 -> q4_1, quantize.format.by_role {'up': 'q4_1', 'down': 'q4_1'} -> "
        "{'up': 'q5_0', 'down': 'q5_0'}, as quantize.perplexity_ratio failed"
    )


def test_waves_that_fail_on_perplexity_shed_half_and_heal_twice_as_long() -> None:
    found = recommend(DEMO, [failed("perplexity_ratio", floor="waves")])
    assert changes_of(found) == {"waves.shed.fraction": (0.1, 0.05), "waves.heal.num_steps": (90, 180)}


def test_a_rule_of_the_gate_itself_is_one_of_the_judge_and_comparisons_count_as_well() -> None:
    rule = NoWorseRule(kind="no_worse")
    finding = Finding(rule=rule, name="no_worse.piqa", outcome="fail", reason="made up", figure=-0.2)
    (found,) = recommend(DEMO, [finding])
    assert (found.stage, found.rule) == ("judge", "no_worse.piqa")
    assert changes_of((found,))["quantize.format.embedding"] == ("q5_0", "q5_1")


def test_the_earliest_stage_comes_first() -> None:
    findings = [failed("perplexity_ratio", floor=floor) for floor in ("cumulative", None, "quantize", "waves")]
    found = recommend(DEMO, findings)
    assert [each.stage for each in found] == ["waves", "quantize", "judge", "cumulative"]
    assert [earliest_step(DEMO, each.changes) for each in found] == ["waves", "quantize", "quantize", "waves"]


def test_nothing_is_recommended_for_what_passed_was_not_measured_or_no_setting_moves() -> None:
    for finding in (
        failed("perplexity_ratio", outcome="warn"),
        failed("perplexity_ratio", figure=None),
        failed("engine_ratio"),
        failed("sparsity", floor="quantize"),
    ):
        assert recommend(DEMO, [finding]) == ()


def test_a_setting_at_its_bound_and_a_step_that_the_recipe_lacks_are_left_out() -> None:
    kinds = ("seed", "log_activations", "quantize")
    full = {"linears": "f16", "embedding": "f16"}
    recipe = resolve_recipe(
        {
            "name": "small",
            "steps": [{"kind": kind, **({"format": full} if kind == "quantize" else {})} for kind in kinds],
        }
    )
    (found,) = recommend(recipe, [failed("perplexity_ratio", floor="cumulative")])
    assert found.changes == ()
    assert found.words == "no setting can go further, as cumulative.perplexity_ratio failed"


@given(
    st.floats(1e-6, 0.1),
    st.integers(0, 100_000),
    st.integers(1, 200),
    st.sampled_from(LARGER_TYPES),
    st.sampled_from(sorted(TABLE)),
)
def test_whatever_the_recipe_a_change_fits_its_bounds_and_goes_the_way_it_says(
    fraction: float, num_steps: int, max_waves: int, linears: str, row: tuple[Any, Any]
) -> None:
    recipe = change_recipe(
        DEMO,
        {
            "waves.shed.fraction": fraction,
            "waves.heal.num_steps": num_steps,
            "waves.max_waves": max_waves,
            "quantize.format.linears": linears,
        },
    )
    floor, failure = row
    names = {
        "perplexity": "perplexity_ratio",
        "divergence": "kl_to_reference",
        "answers": "benchmark.piqa",
        "sparsity": "sparsity",
        "size": "size",
        "speed": "decode_rate",
    }
    (found,) = recommend(recipe, [failed(names[failure], floor=floor)])
    changed = change_recipe(recipe, {change.path: change.after for change in found.changes})
    assert isinstance(changed, Recipe)
    directions = {knob.path: knob.direction for knob in TABLE[row]}
    for change in found.changes:
        if isinstance(change.before, int | float):
            assert (change.after > change.before) == (directions[change.path] == "up")


def test_a_comparison_of_text_is_known_by_its_kind() -> None:
    rule = PerplexityRatioRule(kind="perplexity_ratio")
    finding = Finding(rule=rule, name="hoped for", outcome="fail", reason="made up", figure=1.1, floor="waves")
    assert "waves.shed.fraction" in changes_of(recommend(DEMO, [finding]))
