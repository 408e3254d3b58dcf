"""The plan of the next wave: never out of bounds, larger after stable waves, smaller after a bad one, over in time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import law

from birdbone.compress import WaveOutcome, WavePlan, next_wave
from birdbone.compress.config import AdaptiveControl, EmergencyConfig, ShedConfig, StopLossConfig, WavesConfig

LIMITS = StopLossConfig(max_rise=0.02, max_total_rise=0.05)
CONTROL = AdaptiveControl(start_fraction=0.02, min_fraction=0.005, growth=1.5, back_off=0.5)


def settings(**changes: object) -> WavesConfig:
    values = {"max_waves": 50, "stop_loss": LIMITS, "control": CONTROL, "shed": ShedConfig(fraction=0.08), **changes}
    return WavesConfig.model_validate(values)


def good(fraction: float, rise: float = 0.001, **changes: object) -> WaveOutcome:
    return WaveOutcome(**{"fraction": fraction, "verdict": "good", "rise": rise, "total_rise": 0.01, **changes})


def undone(fraction: float, **changes: object) -> WaveOutcome:
    return WaveOutcome(**{"fraction": fraction, "verdict": "undone", "rise": 0.04, "total_rise": 0.06, **changes})


def walk(verdicts: list[str], config: WavesConfig) -> tuple[list[WaveOutcome], WavePlan]:
    """Make the waves that the control plans, with these verdicts, until it ends them."""
    history: list[WaveOutcome] = []
    for verdict in verdicts:
        plan = next_wave(history, config)
        if plan.fraction is None:
            break
        make = undone if verdict == "undone" else good
        rise = {"stable": 0.001, "near": 0.019, "undone": 0.04}[verdict]
        history.append(make(plan.fraction, rise=rise, healing_factor=plan.healing_factor))
    return history, next_wave(history, config)


verdict_lists = st.lists(st.sampled_from(["stable", "near", "undone"]), max_size=30)
controls = st.builds(
    AdaptiveControl,
    start_fraction=st.floats(0.001, 0.1),
    min_fraction=st.floats(0.001, 0.1),
    growth=st.floats(1.01, 5),
    stable_waves=st.integers(1, 3),
    back_off=st.floats(0.05, 0.95),
    max_back_offs=st.integers(1, 6),
)


@law
@given(verdicts=verdict_lists, control=controls, cap=st.floats(0.001, 0.1))
def test_no_plan_leaves_its_bounds(verdicts: list[str], control: AdaptiveControl, cap: float) -> None:
    history, plan = walk(verdicts, settings(control=control, shed=ShedConfig(fraction=cap)))
    fractions = [outcome.fraction for outcome in history] + ([] if plan.fraction is None else [plan.fraction])
    low = min(control.min_fraction, cap)
    assert all(low * (1 - 1e-12) <= fraction <= cap for fraction in fractions)
    assert all(1 <= outcome.healing_factor <= control.max_healing_factor for outcome in history)


@law
@given(control=controls, cap=st.floats(0.001, 0.1), num_waves=st.integers(1, 20))
def test_a_stable_history_grows_up_to_the_cap(control: AdaptiveControl, cap: float, num_waves: int) -> None:
    history, plan = walk(["stable"] * num_waves, settings(control=control, shed=ShedConfig(fraction=cap)))
    fractions = [outcome.fraction for outcome in history] + [plan.fraction]
    assert fractions == sorted(fractions)
    for before, after in zip(fractions, fractions[control.stable_waves :], strict=False):
        assert after > before or after == cap


@law
@given(verdicts=verdict_lists, control=controls)
def test_a_bad_wave_shrinks_the_next_and_heals_it_no_less(verdicts: list[str], control: AdaptiveControl) -> None:
    history, plan = walk([*verdicts, "undone"], settings(control=control))
    if plan.fraction is None or history[-1].verdict != "undone":
        return
    assert plan.fraction < history[-1].fraction
    assert plan.healing_factor >= history[-1].healing_factor


def test_the_back_off_is_exponential_and_ends() -> None:
    history, plan = walk(["undone"] * 9, settings(shed=ShedConfig(fraction=0.08)))
    assert [outcome.fraction for outcome in history] == [0.02, 0.01, 0.005]
    assert [outcome.healing_factor for outcome in history] == [1.0, 2.0, 4.0]
    assert plan.fraction is None
    assert plan.reason == "3 waves in a row were undone"


def test_a_wave_of_the_least_size_that_is_undone_ends_the_waves() -> None:
    control = CONTROL.model_copy(update={"max_back_offs": 9, "start_fraction": 0.005})
    _, plan = walk(["undone"], settings(control=control))
    assert plan.fraction is None
    assert "the least" in plan.reason


def test_a_wave_that_was_just_good_keeps_the_size() -> None:
    history, plan = walk(["stable", "near"], settings())
    assert plan.fraction == history[-1].fraction == pytest.approx(0.03)


def test_growth_waits_for_as_many_stable_waves_as_are_asked_for() -> None:
    history, plan = walk(["stable"] * 4, settings(control=CONTROL.model_copy(update={"stable_waves": 2})))
    fractions = [*(outcome.fraction for outcome in history), plan.fraction]
    assert fractions == pytest.approx([0.02, 0.02, 0.03, 0.03, 0.045])


@law
@given(verdicts=st.lists(st.sampled_from(["stable", "near"]), max_size=20))
def test_fixed_control_plans_the_same_wave_until_one_is_undone(verdicts: list[str]) -> None:
    config = settings(control={"kind": "fixed"})
    history, plan = walk(verdicts, config)
    assert {outcome.fraction for outcome in history} <= {0.08}
    assert plan.fraction == 0.08
    assert next_wave([*history, undone(0.08)], config).fraction is None


def test_no_wave_comes_after_the_last_that_the_recipe_allows() -> None:
    _, plan = walk(["stable"] * 3, settings(max_waves=3))
    assert plan.fraction is None


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (good(0.02, rise=math.nan), "not finite"),
        (good(0.02, rise=math.inf), "not finite"),
        (good(0.02, rise=1.5), "beyond +100%"),
        (good(0.02, seconds=61.0), "61 s, beyond 60 s"),
        (good(0.02, available_bytes=99), "99 bytes"),
    ],
)
@pytest.mark.parametrize("kind", ["fixed", "adaptive"])
def test_an_emergency_ends_the_waves_whatever_the_control(outcome: WaveOutcome, words: str, kind: str) -> None:
    emergency = EmergencyConfig(max_seconds=60.0, min_available_bytes=100)
    plan = next_wave([outcome], settings(emergency=emergency, control={"kind": kind}))
    assert plan.fraction is None
    assert words in plan.reason


def test_what_was_not_measured_is_no_emergency() -> None:
    config = settings(emergency=EmergencyConfig(min_available_bytes=100))
    assert next_wave([good(0.02)], config).fraction is not None
