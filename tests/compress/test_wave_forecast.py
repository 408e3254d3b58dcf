"""A wave's cost is said before it is made, from features known by then, and its error is that of waves left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.matrices import law, seeds

from birdbone.compress.config import FisherConfig, HessianConfig, ImportanceConfig, MagnitudeConfig, WandaConfig
from birdbone.compress.damage import WaveRecord, forecast_wave, wave_features
from birdbone.compress.damage.prediction import fit_ridge
from birdbone.compress.damage.wave_features import shed_share
from birdbone.compress.waves import full_masks

WANDA = WandaConfig()
pytestmark = pytest.mark.usefixtures("dense_stays")


def records(seed: int, count: int, *, noise: float = 0.0) -> list[WaveRecord]:
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        size, before = draw.uniform(-4, -2), draw.uniform(0, 0.5)
        rise = 0.1 + 0.02 * size + 0.05 * before + noise * draw.standard_normal()
        rows.append(WaveRecord(features={"log_fraction": size, "sparsity": before}, rise=rise))
    return rows


@law
@given(seed=seeds, penalty=st.sampled_from([1e-2, 1.0, 100.0]))
def test_residuals_in_closed_form_are_those_of_leaving_each_row_out(seed: int, penalty: float) -> None:
    draw = np.random.default_rng(seed)
    x_NP, y_N = draw.standard_normal((6, 2)), draw.standard_normal(6)
    fit = fit_ridge(x_NP, y_N, penalty=penalty)
    design = np.column_stack([np.ones(6), (x_NP - fit.centre_P) / fit.scale_P])
    for row in range(6):
        rest = np.arange(6) != row
        normal = design[rest].T @ design[rest] + np.diag([0.0, penalty, penalty])
        weights = np.linalg.solve(normal, design[rest].T @ y_N[rest])
        assert fit.residuals_N[row] == pytest.approx(y_N[row] - design[row] @ weights, abs=1e-8)


@law
@given(seed=seeds)
def test_a_straight_law_is_learned_and_beats_the_mean(seed: int) -> None:
    forecast = forecast_wave(records(seed, 12), {"log_fraction": -3.0, "sparsity": 0.25})
    assert forecast is not None
    assert forecast.rise == pytest.approx(0.1 - 0.06 + 0.0125, abs=2e-3)
    assert forecast.error < 0.5 * forecast.error_of_mean
    assert forecast.low < forecast.rise < forecast.high


@law
@given(seed=seeds, num_waves=st.integers(3, 8))
def test_features_that_say_nothing_leave_the_mean(seed: int, num_waves: int) -> None:
    draw = np.random.default_rng(seed)
    rows = [WaveRecord(features={"log_fraction": -3.0}, rise=float(draw.normal(0.02, 0.01))) for _ in range(num_waves)]
    forecast = forecast_wave(rows, {"log_fraction": -3.0})
    assert forecast is not None
    assert forecast.rise == pytest.approx(np.mean([row.rise for row in rows]))
    assert forecast.error == pytest.approx(forecast.error_of_mean)


def test_two_waves_are_too_few_and_what_is_not_finite_does_not_count() -> None:
    rows = records(0, 2)
    assert forecast_wave(rows, rows[0].features) is None
    broken = WaveRecord(features=rows[0].features, rise=math.nan)
    assert forecast_wave([*rows, broken], rows[0].features) is None


def test_a_feature_that_an_older_wave_lacks_is_left_out() -> None:
    rows = records(0, 5)
    forecast = forecast_wave(rows, {**rows[0].features, "log_hurt": -1.0})
    assert forecast == forecast_wave(rows, rows[0].features)


def test_shed_share_by_hand() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 9.0, 2.0, 2.0]])
    mask = torch.tensor([[True, True, True, True], [True, False, True, True]])
    first, second = 1 / 30, 4 / 24
    assert shed_share(scores, mask, fraction=0.34) == pytest.approx((first + second) / 2)
    assert shed_share(scores, mask, fraction=0.1) == 0


def test_more_is_known_to_go_with_a_larger_wave_and_nothing_is_changed(dense: Dense) -> None:
    loaded = dense.loaded
    masks = full_masks(loaded.model, loaded.architecture)

    def features(
        fraction: float, sensitivity: dict[int, float] | None = None, metric: ImportanceConfig = WANDA
    ) -> dict[str, float]:
        return wave_features(
            loaded.model,
            loaded.architecture,
            masks=masks,
            statistics=dense.statistics,
            importance=metric,
            fraction=fraction,
            sensitivity=sensitivity,
        )

    small, large = features(0.05), features(0.1)
    assert small["log_shed"] < large["log_shed"]
    assert (small["sparsity"], large["log_fraction"]) == (0, math.log(0.1))
    for metric in (MagnitudeConfig(), HessianConfig(), FisherConfig()):
        told = features(0.1, metric=metric)
        assert math.isfinite(told["log_shed"])
        assert (told == large) == (metric.kind != "magnitude")
    assert "log_hurt" not in small
    assert features(0.05, dict.fromkeys(range(4), 1.0))["log_hurt"] == pytest.approx(small["log_shed"])
