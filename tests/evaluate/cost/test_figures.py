"""From turns to figures, by hand."""

from __future__ import annotations

import pytest
from tests.evaluate.cost.made_up import PLAN, figures, report, taken

from birdbone.evaluate.cost import CostPlan, CostReport
from birdbone.evaluate.errors import BadCostPlanError

MADE = report()


def value(name: str, found: CostReport = MADE) -> float:
    figure = found.figure(name)
    assert figure is not None, name
    return figure.value


def test_times_are_medians_with_the_interval_of_six_turns() -> None:
    first = MADE.figure("time_to_first_token.32")
    assert first is not None
    assert (first.value, first.low, first.high) == pytest.approx((0.25, 0.2, 0.3))
    assert (first.unit, first.basis, first.sample_size) == ("s", "measured", 6 * 32)
    assert value("prefill_rate.32") == pytest.approx(128)
    assert value("decode_rate") == pytest.approx(20)
    assert value("decode_cpu_time") == pytest.approx(0.1)
    load = MADE.figure("load_time")
    assert load is not None
    assert (load.value, load.low, load.sample_size) == (2.0, None, 2)  # two loads have no interval


def test_memory_of_the_model_is_what_it_added() -> None:
    assert value("peak_memory") == 107_000
    assert value("model_memory") == 107_000 - 101_000
    assert value("load_peak_memory") == 106_000
    assert MADE.figure("gpu_peak_memory") is None
    assert {row.name: row.value for row in figures(taken(gpu_peak_bytes=7)).all()}["gpu_peak_memory"] == 7


def test_what_is_counted_says_that_it_is_estimated() -> None:
    assert value("bits_per_weight") == 36
    assert value("flops_per_token") == 2 * 700 + 2 * 200 + 4 * 2 * 17 * 10  # after 8 + 16 / 2 tokens
    assert value("bytes_per_token") == 4000
    assert value("cache_bytes_per_token") == 2 * 2 * 17 * 5 * 4
    counted = {row.name for row in MADE.measurements if row.basis == "estimated"}
    assert {"flops_per_token", "prompt_flops.8", "bytes_per_token", "cache_bytes_per_token"} <= counted
    assert all("share" in name or "intensity" in name or name in counted for name in counted)
    assert not {"decode_rate", "size", "memory_bandwidth", "peak_memory"} & counted


def test_shares_are_of_what_the_probe_reached() -> None:
    num_bytes, flops = 4000 + 2 * 2 * 17 * 5 * 4, 2 * 700 + 2 * 200 + 4 * 2 * 17 * 10
    assert value("decode_intensity") == pytest.approx(flops / num_bytes)
    assert value("decode_bandwidth_share") == pytest.approx(num_bytes * 20 / 1e5)
    assert value("decode_matmul_share") == pytest.approx(flops * 20 / 4e5)
    assert MADE.bounds[0].bound == "memory"
    prompt = 2 * 32 * 700 + 2 * 200 + 4 * 2 * 32 * 32 * 10
    assert value("prompt_flops.32") == prompt
    assert value("prefill_matmul_share.32") == pytest.approx(prompt / 0.25 / 4e5)
    assert MADE.bounds[2].bound == "arithmetic"


def test_energy_is_there_only_if_every_turn_has_it() -> None:
    assert MADE.figure("decode_energy") is None
    (energy,) = [row for row in figures(taken(joules=32.0)).all() if row.name == "decode_energy"]
    assert (energy.value, energy.unit) == (2.0, "J/token")
    assert "RAPL package-0, other programs included" in energy.method


def test_every_name_is_there_once() -> None:
    names = [row.name for row in MADE.measurements]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "settings",
    [
        {"prompt_tokens": ()},
        {"prompt_tokens": (0,)},
        {"prompt_tokens": (4, 4)},
        {"new_tokens": 0},
        {"repeats": 0},
        {"num_loads": 0},
        {"num_warmups": -1},
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(BadCostPlanError):
        CostPlan(**settings)


def test_a_plan_knows_how_much_the_engine_has_to_hold() -> None:
    assert (PLAN.decode_prompt, PLAN.num_tokens, PLAN.mean_context) == (8, 32, 16)
    assert CostPlan(prompt_tokens=(8, 12), new_tokens=16).num_tokens == 24
