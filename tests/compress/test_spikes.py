"""Spikes are told soon, healthy noise is left alone, and one step costs the same however long the stream is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river.drift import PageHinkley
from tests.compress.matrices import law, seeds

from birdbone.compress.config import SpikeConfig, SpikeLimits
from birdbone.compress.spikes import (
    HealthyLevel,
    Noise,
    Scores,
    Spike,
    SpikeDetector,
    calibrate_limits,
    draw_noise,
    find_spikes,
)
from birdbone.compress.spikes.detector import severity_of
from birdbone.compress.spikes.scores import _PAGE_HINKLEY_DELTA

ONSET = 200


def losses(seed: int, *, num_steps: int = 300, noise: Noise | None = None) -> np.ndarray:
    """A falling loss of about 3 nats with noise of 0.05."""
    drawn = draw_noise(noise or Noise(), num_steps, np.random.default_rng(seed))
    return 3.0 + np.exp(-np.arange(num_steps) / 60) + 0.05 * drawn


def first_delay(stream: np.ndarray) -> int | None:
    starts = [spike.start for spike in find_spikes(stream) if spike.start >= ONSET]
    return starts[0] - ONSET if starts else None


@law
@given(seeds)
def test_a_jump_of_eight_spreads_is_told_at_once(seed: int) -> None:
    stream = losses(seed)
    stream[ONSET:] += 8 * 0.05
    delay = first_delay(stream)
    assert delay is not None
    assert delay <= 5


@law
@given(seeds)
def test_a_drift_of_three_spreads_a_step_is_told_within_five_steps(seed: int) -> None:
    stream = losses(seed)
    stream[ONSET:] += 3 * 0.05 * np.arange(100)
    delay = first_delay(stream)
    assert delay is not None
    assert delay <= 5


def test_a_loss_that_swings_is_told() -> None:
    delays = []
    for seed in range(20):
        stream = losses(seed)
        stream[ONSET:] += 8 * 0.05 * np.where(np.arange(100) % 2, -1, 1)
        delays.append(first_delay(stream))
    assert all(delay is not None and delay <= 5 for delay in delays)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 3, 150])
def test_a_loss_that_is_not_finite_is_fatal_at_once_even_while_warming_up(value: float, at: int) -> None:
    stream = losses(0)
    stream[at] = value
    spikes = find_spikes(stream)
    assert [(spike.start, spike.severity) for spike in spikes] == [(at, "fatal")]
    assert not math.isfinite(spikes[0].peak)


def test_healthy_noise_of_every_calibrated_family_alarms_at_most_once_in_a_thousand_steps() -> None:
    families = (Noise(), Noise(correlation=0.5), Noise(correlation=0.8), Noise(degrees=5.0))
    for number, noise in enumerate(families):
        stream = draw_noise(noise, 6_000, np.random.default_rng(100 + number))
        assert len(find_spikes(stream)) <= 6, noise


def test_a_steep_healthy_fall_is_no_spike() -> None:
    for seed in range(10):
        noise = draw_noise(Noise(), 400, np.random.default_rng(seed))
        assert find_spikes(2.5 + 4 * np.exp(-np.arange(400) / 20) + 0.03 * noise) == []


@law
@given(seed=seeds, scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_what_is_told_does_not_hang_on_unit_or_offset(seed: int, scale: float, shift: float) -> None:
    stream = losses(seed, num_steps=240)
    stream[ONSET:] += 0.6
    told = [spike.start for spike in find_spikes(stream)]
    assert [spike.start for spike in find_spikes(scale * stream + shift)] == told


@law
@given(seed=seeds, cut=st.integers(1, 299))
def test_a_stream_tells_the_same_whatever_comes_after(seed: int, cut: int) -> None:
    stream = losses(seed)
    stream[ONSET : ONSET + 5] += 1.0
    whole = [spike.start for spike in find_spikes(stream)]
    assert [spike.start for spike in find_spikes(stream[:cut])] == [start for start in whole if start < cut]


def test_one_spike_is_told_once_and_ends() -> None:
    stream = losses(1, num_steps=400)
    stream[ONSET : ONSET + 6] += 2.0
    (spike,) = find_spikes(stream)
    assert spike.start == ONSET
    assert spike.stop is not None
    assert ONSET + 6 < spike.stop < ONSET + 30
    assert spike.severity == "severe"
    assert spike.peak == pytest.approx(stream[ONSET : ONSET + 6].max())


def test_a_level_that_stays_up_becomes_the_new_level() -> None:
    stream = losses(2, num_steps=800)
    stream[ONSET:] += 1.0
    spikes = find_spikes(stream)
    assert [spike.start for spike in spikes] == [ONSET]
    assert spikes[0].stop is not None
    stream[700] += 1.0
    assert [spike.start for spike in find_spikes(stream)] == [ONSET, 700]


def test_a_slow_rise_is_warned_of_and_noise_is_not() -> None:
    rising, steady = 0, 0
    for seed in range(10):
        noise = draw_noise(Noise(), 400, np.random.default_rng(seed))
        for slope in (0.0, 0.05):
            detector = SpikeDetector()
            readings = [detector.take(float(loss)) for loss in noise + slope * np.maximum(np.arange(400) - ONSET, 0)]
            warned = any(reading.is_warning for reading in readings)
            rising, steady = rising + (warned and slope > 0), steady + (warned and slope == 0)
    assert rising >= 9
    assert steady <= 2


@law
@given(seed=seeds)
def test_page_hinkley_decides_as_rivers_does(seed: int) -> None:
    deviations = np.clip(np.random.default_rng(seed).standard_normal(120) + np.repeat([0.0, 1.5], 60), -20, 20)
    theirs = PageHinkley(min_instances=1, delta=_PAGE_HINKLEY_DELTA, threshold=10.0, alpha=1.0, mode="up")
    scores, ours = Scores(), None
    for step, deviation in enumerate(deviations):
        theirs.update(float(deviation))
        value = scores.take(float(deviation))["page_hinkley"]
        ours = step if ours is None and value > 10.0 else ours
        if theirs.drift_detected:
            assert ours == step
            return
        assert ours is None


def test_scores_by_hand() -> None:
    scores = Scores()
    assert [scores.take(u)["cusum"] for u in (1.0, 2.0, -3.0, 0.75)] == [0.5, 2.0, 0.0, 0.25]
    assert scores.take(2.25)["average"] == (2.0 - 3.0 + 0.75 + 2.25) / 2


@law
@given(seed=seeds, correlation=st.sampled_from([0.0, 0.5, 0.8]))
def test_the_baseline_learns_level_spread_and_correlation(seed: int, correlation: float) -> None:
    noise = draw_noise(Noise(correlation=correlation), 4_000, np.random.default_rng(seed))
    baseline = HealthyLevel(level_rate=0.005, spread_rate=0.005)
    for value in noise:
        baseline.learn(10.0 + 2.0 * float(value))
    assert baseline.level == pytest.approx(10.0, abs=2.0)
    assert baseline.correlation == pytest.approx(correlation, abs=0.25)
    assert baseline.spread == pytest.approx(2.0 * math.sqrt(1 - correlation**2), rel=0.25)


def test_calibrated_limits_keep_their_promise_and_fewer_alarms_need_higher_limits() -> None:
    config, families = SpikeConfig(), (Noise(), Noise(degrees=5.0))

    def limits(rate: float) -> SpikeLimits:
        return calibrate_limits(
            config,
            generator=np.random.default_rng(0),
            max_alarms_per_thousand=rate,
            num_steps=5_000,
            families=families,
        )

    strict, loose = limits(0.4), limits(20.0)
    assert all(getattr(strict, name) >= getattr(loose, name) for name in SpikeLimits.model_fields)
    assert strict.cusum > loose.cusum
    stream = draw_noise(families[0], 5_000, np.random.default_rng(7))
    assert len(find_spikes(stream, config.model_copy(update={"limits": strict}))) <= 5


def test_noise_has_unit_variance_and_its_correlation() -> None:
    for noise in (Noise(), Noise(correlation=0.8), Noise(degrees=5.0)):
        drawn = draw_noise(noise, 40_000, np.random.default_rng(0))
        assert drawn.std() == pytest.approx(1.0, abs=0.1)
        assert np.corrcoef(drawn[1:], drawn[:-1])[0, 1] == pytest.approx(noise.correlation, abs=0.05)


@pytest.mark.parametrize(
    ("peak", "severity"), [(7.0, "mild"), (13.9, "mild"), (14.0, "moderate"), (28.0, "severe"), (math.inf, "fatal")]
)
def test_severity_goes_by_the_peak(peak: float, severity: str) -> None:
    assert severity_of(peak, alone=7.0) == severity


def test_what_a_detector_keeps_does_not_grow_with_the_stream() -> None:
    detector = SpikeDetector()
    for loss in losses(5, num_steps=2_000):
        detector.take(float(loss))
    assert detector.spikes == []
    assert len(detector._scores._recent) == 4
    assert isinstance(find_spikes([math.nan])[0], Spike)
