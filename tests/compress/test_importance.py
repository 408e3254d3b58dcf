"""Each score is its formula, written out."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import draw_linear, law, seeds

from birdbone.compress.config import ImportanceConfig, MagnitudeConfig, WandaConfig
from birdbone.compress.importance import magnitude_scores, score_linear, wanda_scores
from birdbone.compress.statistics import InputStatistics


@law
@given(seed=seeds, num_inputs=st.integers(1, 6), num_tokens=st.integers(1, 8))
def test_wanda_is_the_weight_times_the_norm_of_its_input(seed: int, num_inputs: int, num_tokens: int) -> None:
    linear = draw_linear(seed, num_inputs=num_inputs, num_tokens=num_tokens)
    scores_FD = wanda_scores(linear.w_FD, linear.gram_DD.diagonal())
    for row in range(len(linear.w_FD)):
        for column in range(num_inputs):
            norm = math.sqrt(sum(float(x) ** 2 for x in linear.x_TD[:, column]) / num_tokens)
            assert scores_FD[row, column].item() == pytest.approx(abs(float(linear.w_FD[row, column])) * norm, rel=1e-4)


@law
@given(seed=seeds, column=st.integers(0, 7), factor=st.floats(0, 100))
def test_a_louder_input_raises_the_scores_of_its_own_weights_only(seed: int, column: int, factor: float) -> None:
    linear = draw_linear(seed)
    mean_square_D = linear.gram_DD.diagonal()
    louder_D = mean_square_D.clone()
    louder_D[column] *= factor**2
    expected_FD = wanda_scores(linear.w_FD, mean_square_D).clone()
    expected_FD[:, column] *= factor
    torch.testing.assert_close(wanda_scores(linear.w_FD, louder_D), expected_FD)


@law
@given(seed=seeds)
def test_magnitude_does_not_look_at_the_input(seed: int) -> None:
    linear = draw_linear(seed)
    assert torch.equal(magnitude_scores(linear.w_FD), torch.maximum(linear.w_FD, -linear.w_FD))


@pytest.mark.parametrize("config", [WandaConfig(), MagnitudeConfig()], ids=lambda config: config.kind)
def test_the_settings_choose_the_score_and_the_weights_stay(config: ImportanceConfig) -> None:
    linear = draw_linear(0)
    before_FD = linear.w_FD.clone()
    statistics = InputStatistics(gram_DD=linear.gram_DD, num_tokens=len(linear.x_TD))
    expected_FD = {
        "wanda": wanda_scores(linear.w_FD, statistics.mean_square_D),
        "magnitude": magnitude_scores(linear.w_FD),
    }[config.kind]
    assert torch.equal(score_linear(linear.w_FD, statistics, config), expected_FD)
    assert torch.equal(linear.w_FD, before_FD)
