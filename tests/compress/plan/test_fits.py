"""The models of time and loss find what is there, are never negative, and tell how far off they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.compress.errors import TooFewProbesError
from birdbone.compress.plan.fitting import fit_nonnegative
from birdbone.compress.plan.latency import FileFeatures, TimedFile, fit_latency
from birdbone.compress.plan.loss import JudgedPlan, LossFeatures, fit_loss
from birdbone.compress.plan.timing import Turns


def file_of(layers: int, **bytes_by_type: int) -> FileFeatures:
    return FileFeatures(num_layers=layers, attention_flops=1e4 * layers, bytes_by_type=bytes_by_type)


def timed(features: FileFeatures, ratio: float) -> TimedFile:
    return TimedFile(name="", features=features, ratio=ratio, ratio_low=ratio, ratio_high=ratio, reference_seconds=0.02)


def time_of(features: FileFeatures) -> float:
    rates = {"F16": 1e-8, "Q8_0": 1.2e-8, "Q4_0": 1.5e-8}
    read = sum(rates[kind] * size for kind, size in features.bytes_by_type.items())
    return 0.05 + 0.004 * features.num_layers + read


@given(st.lists(st.floats(0.0, 3.0), min_size=3, max_size=3))
def test_coefficients_that_are_there_are_found_and_none_is_negative(truth: list[float]) -> None:
    features_PK = np.random.default_rng(0).uniform(0.1, 1.0, (12, 3))
    measured_P = features_PK @ np.array(truth) + 1e-6
    found_K = fit_nonnegative(features_PK, measured_P, ridge=1e-12)
    assert (found_K >= 0).all()
    assert features_PK @ found_K == pytest.approx(measured_P, rel=1e-3, abs=1e-5)


def test_times_of_files_that_were_not_timed_are_predicted() -> None:
    files = [file_of(30, F16=2 * 10**8), file_of(30, Q8_0=10**8), file_of(30, Q4_0=6 * 10**7)]
    files += [file_of(15, Q4_0=4 * 10**7), file_of(30, Q8_0=5 * 10**7, Q4_0=3 * 10**7), file_of(15, F16=10**8)]
    model = fit_latency([timed(each, time_of(each)) for each in files])
    unseen = file_of(22, F16=2 * 10**7, Q8_0=3 * 10**7, Q4_0=3 * 10**7)
    assert model.ratio(unseen) == pytest.approx(time_of(unseen), rel=0.05)
    assert model.seconds(unseen) == pytest.approx(0.02 * model.ratio(unseen))
    assert model.errors.median < 0.1
    assert len(model.errors.errors) == len(files)
    assert all(value >= 0 for value in model.coefficients.values())


def plan_of(neurons: float, bits: float, *, heals: bool = False) -> LossFeatures:
    return LossFeatures(
        cut_damages={"neuron": neurons} if neurons else {}, bit_damage=bits, embedding="q8_0", is_healed=heals
    )


def rise_of(features: LossFeatures) -> float:
    damage = features.cut_damages.get("neuron", 0.0)
    cut = (0.6 if features.is_healed else 1.0) * (0.5 * damage + 2.0 * damage**2)
    bits = 0.7 * features.bit_damage + 0.002
    return cut + bits + 0.5 * cut * bits


def test_the_rise_of_plans_that_were_not_carried_out_is_predicted() -> None:
    seen = [plan_of(n, b) for n in (0.0, 0.1, 0.3) for b in (0.01, 0.05, 0.1)] + [plan_of(0.2, 0.05, heals=True)]
    model = fit_loss([JudgedPlan(name="", features=each, rise=rise_of(each)) for each in seen])
    unseen = plan_of(0.22, 0.03)
    assert model.rise(unseen) == pytest.approx(rise_of(unseen), rel=0.1)
    found = model.interval(unseen)
    assert found.low < found.value < found.high
    assert model.rise(plan_of(0.22, 0.03, heals=True)) < model.rise(unseen)
    assert model.perplexity_errors.largest < 0.1


@given(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.2))
def test_more_damage_never_predicts_less_loss(less: float, more: float, bits: float) -> None:
    model = FITTED
    low, high = sorted((less, more))
    assert model.rise(plan_of(low, bits)) <= model.rise(plan_of(high, bits)) + 1e-12
    assert model.rise(plan_of(low, 0.0)) <= model.rise(plan_of(low, bits)) + 1e-12


FITTED = fit_loss(
    [JudgedPlan(name="", features=plan_of(n, b), rise=rise_of(plan_of(n, b))) for n in (0.0, 0.2) for b in (0.02, 0.1)]
)


def test_too_few_measurements_are_said() -> None:
    with pytest.raises(TooFewProbesError, match="2 timed files"):
        fit_latency([timed(file_of(1, F16=1), 1.0)] * 2)
    with pytest.raises(TooFewProbesError, match="1 measured plans"):
        fit_loss([JudgedPlan(name="", features=plan_of(0.1, 0.1), rise=0.1)])


def test_one_thread_is_timed_by_its_cpu_and_several_by_the_wall_clock() -> None:
    clocks = {"cpu_seconds": (1.0, 1.1, 0.9), "reference_cpu_seconds": (2.0, 2.0, 2.0)}
    clocks |= {"wall_seconds": (9.0, 1.0, 3.0), "reference_wall_seconds": (3.0, 3.0, 3.0)}
    alone, together = Turns(num_threads=1, **clocks), Turns(num_threads=2, **clocks)
    assert (alone.ratio, alone.reference) == (0.5, 2.0)
    assert (together.ratio, together.reference) == (1.0, 3.0)
    assert alone.wall_ratio == together.ratio
    assert alone.ratio_ends == (0.45, 0.55)
