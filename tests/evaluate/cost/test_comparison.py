"""Two models beside each other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.cost.made_up import report

from birdbone.evaluate import UnpairedError
from birdbone.evaluate.cost.comparison import compare_costs


@settings(max_examples=20)
@given(st.floats(0.1, 10))
def test_a_model_that_is_slower_by_a_factor_is_so_in_every_pair(slowness: float) -> None:
    found = compare_costs(report("b", slowness=slowness), report("a"))
    assert (found.baseline, found.candidate) == ("a", "b")
    ratios = {row.name: row for row in found.ratios}
    for name in ("time_to_first_token.8", "time_to_first_token.32", "decode_cpu_time"):
        assert (ratios[name].ratio, ratios[name].low, ratios[name].high) == pytest.approx((slowness,) * 3)
    for name in ("prefill_rate.8", "prefill_rate.32", "decode_rate"):
        assert (ratios[name].ratio, ratios[name].low) == pytest.approx((1 / slowness,) * 2)
    assert (ratios["size"].ratio, ratios["size"].low) == (1.0, None)


def test_what_one_lacks_is_left_out() -> None:
    names = {row.name for row in compare_costs(report("b"), report("a")).ratios}
    assert "decode_energy" not in names
    assert "gpu_peak_memory" not in names


def test_pairs_are_by_turn_so_that_a_busy_moment_falls_on_both() -> None:
    ours, theirs = report("b", slowness=2.0), report("a")
    shuffled = theirs.model_copy(update={"decodes": theirs.decodes[::-1]})
    paired, unpaired = (
        {row.name: row for row in compare_costs(ours, one).ratios}["decode_rate"] for one in (theirs, shuffled)
    )
    assert paired.high == pytest.approx(paired.low)
    assert unpaired.high is not None
    assert unpaired.low is not None
    assert unpaired.high > 1.1 * unpaired.low


def test_two_plans_cannot_be_compared() -> None:
    other = report("a")
    other = other.model_copy(update={"plan": other.plan.model_copy(update={"new_tokens": 3})})
    with pytest.raises(UnpairedError):
        compare_costs(report("b"), other)
