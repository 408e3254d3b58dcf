"""Each score is its formula, written out, and what it promises: the exact rise of an error, or of the loss."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import DrawnLinear, damped, draw_linear, law, seeds
from torch import Tensor

from birdbone.compress.config import (
    METRICS,
    FisherConfig,
    GradientConfig,
    HessianConfig,
    ImportanceConfig,
    MagnitudeConfig,
    PrunerZeroConfig,
    RiaConfig,
    WandaConfig,
)
from birdbone.compress.errors import MissingGradientsError, SingularGramError
from birdbone.compress.gradients import GradientStatistics
from birdbone.compress.importance import (
    fisher_scores,
    gradient_scores,
    hessian_scores,
    magnitude_scores,
    needs_gradients,
    pruner_zero_scores,
    ria_scores,
    score_linear,
    wanda_scores,
)
from birdbone.compress.statistics import InputStatistics

GRADIENT_KINDS = {"gradient", "fisher", "pruner_zero"}
configs = st.sampled_from(list(METRICS.values()))


def statistics_of(linear: DrawnLinear) -> InputStatistics:
    return InputStatistics(gram_DD=linear.gram_DD, num_tokens=len(linear.x_TD))


def draw_gradients(seed: int, *shape: int, num_windows: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    """Gradients of each window, (N, F, D)."""
    return torch.randn(num_windows, *shape, generator=torch.Generator().manual_seed(seed + 1), dtype=dtype)


def moments(gradients_NFD: Tensor) -> GradientStatistics:
    return GradientStatistics(
        mean_FD=gradients_NFD.mean(dim=0),
        mean_square_FD=gradients_NFD.square().mean(dim=0),
        num_windows=len(gradients_NFD),
    )


def scores_of(linear: DrawnLinear, config: ImportanceConfig, *, seed: int) -> Tensor:
    gradients_NFD = draw_gradients(seed, *linear.w_FD.shape, dtype=linear.w_FD.dtype)
    return score_linear(linear.w_FD, statistics_of(linear), config, gradients=moments(gradients_NFD))


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


@law
@given(seed=seeds, row=st.integers(0, 3), column=st.integers(0, 7), damping=st.floats(1e-3, 1))
def test_hessian_is_the_rise_of_the_error_when_a_weight_goes_and_its_row_is_refitted(
    seed: int, row: int, column: int, damping: float
) -> None:
    linear = draw_linear(seed, dtype=torch.float64)
    gram_DD = damped(linear.gram_DD, damping)
    others = [each for each in range(8) if each != column]
    # The best row without the weight: min over v of (v - w) G (v - w)ᵀ with v = 0 at `column`.
    target_D = linear.w_FD[row]
    refitted_D = torch.zeros(8, dtype=torch.float64)
    refitted_D[others] = torch.linalg.solve(gram_DD[others][:, others], gram_DD[others] @ target_D)
    error_D = refitted_D - target_D
    expected = float(error_D @ gram_DD @ error_D)
    found = hessian_scores(linear.w_FD, linear.gram_DD, damping=damping)[row, column]
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_hessian_of_inputs_that_know_nothing_of_each_other_is_the_square_of_wanda() -> None:
    linear = draw_linear(0, dtype=torch.float64)
    power_D = torch.tensor([4.0, 1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    found_FD = hessian_scores(linear.w_FD, torch.diag(power_D), damping=1e-6)
    torch.testing.assert_close(found_FD, wanda_scores(linear.w_FD, power_D).square(), rtol=1e-4, atol=0)


def test_hessian_takes_a_silent_input_and_refuses_a_matrix_that_is_no_gram_matrix() -> None:
    w_FD, gram_DD = torch.ones(1, 3), torch.diag(torch.tensor([4.0, 0.0, 1.0]))
    found = hessian_scores(w_FD, gram_DD, damping=0.01)[0].tolist()
    ridge = 0.01 * 5 / 3
    assert found == pytest.approx([4 + ridge, 1.0, 1 + ridge], rel=1e-5)
    with pytest.raises(SingularGramError):
        hessian_scores(torch.ones(1, 2), torch.tensor([[1.0, 5.0], [5.0, 1.0]]))


@law
@given(seed=seeds)
def test_gradient_is_the_change_of_a_loss_that_is_linear(seed: int) -> None:
    w_FD = draw_linear(seed, dtype=torch.float64).w_FD
    slope_FD = draw_gradients(seed, *w_FD.shape, dtype=torch.float64)[0]
    found_FD = gradient_scores(w_FD, slope_FD)
    for place in ((0, 0), (2, 5), (3, 7)):
        without_FD = w_FD.clone()
        without_FD[place] = 0.0
        change = float((slope_FD * w_FD).sum() - (slope_FD * without_FD).sum())
        assert float(found_FD[place]) == pytest.approx(abs(change), abs=1e-9)


@law
@given(seed=seeds)
def test_fisher_is_the_mean_square_of_what_each_window_says_of_a_weight(seed: int) -> None:
    w_FD = draw_linear(seed, dtype=torch.float64).w_FD
    gradients_NFD = draw_gradients(seed, *w_FD.shape, dtype=torch.float64)
    per_window_NFD = torch.stack([gradient_scores(w_FD, gradient_FD) for gradient_FD in gradients_NFD])
    found_FD = fisher_scores(w_FD, moments(gradients_NFD).mean_square_FD)
    torch.testing.assert_close(found_FD, per_window_NFD.square().mean(dim=0))
    assert bool((found_FD >= gradient_scores(w_FD, moments(gradients_NFD).mean_FD).square() - 1e-12).all())


def test_ria_of_a_matrix_by_hand() -> None:
    w_FD = torch.tensor([[1.0, -3.0], [1.0, 1.0]])
    relative_FD = [[1 / 2 + 1 / 4, 3 / 4 + 3 / 4], [1 / 2 + 1 / 2, 1 / 4 + 1 / 2]]
    found_FD = ria_scores(w_FD, torch.tensor([16.0, 81.0]))
    torch.testing.assert_close(found_FD, torch.tensor(relative_FD) * torch.tensor([2.0, 3.0]))


@law
@given(seed=seeds, power=st.floats(0, 2))
def test_ria_has_no_units_and_its_relative_parts_sum_to_rows_and_columns(seed: int, power: float) -> None:
    linear = draw_linear(seed, dtype=torch.float64)
    ones_D = torch.ones(8, dtype=torch.float64)
    assert float(ria_scores(linear.w_FD, ones_D).sum()) == pytest.approx(4 + 8)
    found_FD = ria_scores(linear.w_FD, linear.gram_DD.diagonal(), activation_power=power)
    scaled_FD = ria_scores(7 * linear.w_FD, linear.gram_DD.diagonal(), activation_power=power)
    torch.testing.assert_close(found_FD, scaled_FD)


def test_ria_gives_an_empty_row_and_column_zero() -> None:
    w_FD = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    assert ria_scores(w_FD, torch.ones(2)).tolist() == [[0.0, 0.0], [0.0, 2.0]]


def test_pruner_zero_of_a_matrix_by_hand() -> None:
    w_FD, mean_square_FD = torch.tensor([[2.0, 3.0, -1.0]]), torch.tensor([[4.0, 1.0, 9.0]])
    assert pruner_zero_scores(w_FD, mean_square_FD).tolist() == [[2.0, 0.0, 1.0]]
    assert pruner_zero_scores(w_FD, torch.full((1, 3), 4.0)).tolist() == [[4.0, 9.0, 1.0]]


@law
@given(seed=seeds, config=configs)
def test_every_score_follows_when_rows_and_columns_change_places(seed: int, config: ImportanceConfig) -> None:
    linear = draw_linear(seed, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randperm(4, generator=generator), torch.randperm(8, generator=generator)
    gradients_NFD = draw_gradients(seed, 4, 8, dtype=torch.float64)
    moved = DrawnLinear(w_FD=linear.w_FD[rows][:, columns], x_TD=linear.x_TD[:, columns])
    found_FD = score_linear(
        moved.w_FD, statistics_of(moved), config, gradients=moments(gradients_NFD[:, rows][:, :, columns])
    )
    expected_FD = score_linear(linear.w_FD, statistics_of(linear), config, gradients=moments(gradients_NFD))
    torch.testing.assert_close(found_FD, expected_FD[rows][:, columns])


@law
@given(seed=seeds, config=configs, power=st.integers(-8, 8))
def test_scaling_all_weights_scales_every_score_alike(seed: int, config: ImportanceConfig, power: int) -> None:
    linear = draw_linear(seed, dtype=torch.float64)
    louder = DrawnLinear(w_FD=2.0**power * linear.w_FD, x_TD=linear.x_TD)
    degree = {"ria": 0, "hessian": 2, "fisher": 2, "pruner_zero": 2}.get(config.kind, 1)
    expected_FD = 2.0 ** (power * degree) * scores_of(linear, config, seed=seed)
    torch.testing.assert_close(scores_of(louder, config, seed=seed), expected_FD)


@law
@given(seed=seeds, config=configs)
def test_no_score_is_negative_a_weight_of_zero_scores_zero_and_signs_do_not_matter(
    seed: int, config: ImportanceConfig
) -> None:
    linear = draw_linear(seed)
    linear.w_FD[1, 2] = 0.0
    before_FD = linear.w_FD.clone()
    scores_FD = scores_of(linear, config, seed=seed)
    assert torch.equal(linear.w_FD, before_FD)
    assert bool((scores_FD >= 0).all())
    assert bool((scores_FD[linear.w_FD == 0] == 0).all())
    flipped = DrawnLinear(w_FD=-linear.w_FD, x_TD=linear.x_TD)
    assert torch.equal(scores_of(flipped, config, seed=seed), scores_FD)


@pytest.mark.parametrize("config", METRICS.values(), ids=lambda config: config.kind)
def test_the_settings_choose_the_score(config: ImportanceConfig) -> None:
    linear = draw_linear(0)
    statistics, gradients = statistics_of(linear), moments(draw_gradients(0, 4, 8))
    w_FD, power_D = linear.w_FD, statistics.mean_square_D
    expected_FD = {
        "wanda": wanda_scores(w_FD, power_D),
        "magnitude": magnitude_scores(w_FD),
        "ria": ria_scores(w_FD, power_D),
        "hessian": hessian_scores(w_FD, statistics.gram_DD),
        "gradient": gradient_scores(w_FD, gradients.mean_FD),
        "fisher": fisher_scores(w_FD, gradients.mean_square_FD),
        "pruner_zero": pruner_zero_scores(w_FD, gradients.mean_square_FD),
    }[config.kind]
    assert torch.equal(score_linear(w_FD, statistics, config, gradients=gradients), expected_FD)


def test_the_numbers_of_settings_reach_the_score() -> None:
    linear = draw_linear(0)
    statistics = statistics_of(linear)
    ria_FD = score_linear(linear.w_FD, statistics, RiaConfig(activation_power=2.0))
    assert torch.equal(ria_FD, ria_scores(linear.w_FD, statistics.mean_square_D, activation_power=2.0))
    hessian_FD = score_linear(linear.w_FD, statistics, HessianConfig(damping=0.5))
    assert torch.equal(hessian_FD, hessian_scores(linear.w_FD, statistics.gram_DD, damping=0.5))


@pytest.mark.parametrize("config", [GradientConfig(), FisherConfig(), PrunerZeroConfig()], ids=lambda each: each.kind)
def test_a_metric_of_gradients_without_them_says_so(config: ImportanceConfig) -> None:
    linear = draw_linear(0)
    with pytest.raises(MissingGradientsError, match=config.kind) as caught:
        score_linear(linear.w_FD, statistics_of(linear), config)
    assert caught.value.code == "compress.missing_gradients"


def test_which_metrics_need_gradients() -> None:
    assert {kind for kind, config in METRICS.items() if needs_gradients(config)} == GRADIENT_KINDS
    assert not needs_gradients(WandaConfig())
    assert not needs_gradients(MagnitudeConfig())
