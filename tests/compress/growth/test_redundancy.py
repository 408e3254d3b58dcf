"""Redundancy: 1 for copies, 0 for what is unlike, and the closed form equals the regression that it stands for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import draw_linear, law, seeds
from torch import Tensor

from birdbone.compress.errors import SingularGramError
from birdbone.compress.growth.redundancy import (
    block_influence,
    block_reconstruction_error,
    linear_cka,
    unbiased_cka,
    unit_reconstruction_errors,
)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@law
@given(seed=seeds, scale=st.floats(0.1, 10))
def test_cka_does_not_see_rotation_scale_or_shift(seed: int, scale: float) -> None:
    x_TD = draw(seed, 30, 5)
    rotation_DD = torch.linalg.qr(draw(seed + 1, 5, 5)).Q
    turned_TD = x_TD @ rotation_DD * scale + draw(seed + 2, 5)
    assert linear_cka(x_TD, turned_TD) == pytest.approx(1.0, abs=1e-5)
    assert unbiased_cka(x_TD, turned_TD) == pytest.approx(unbiased_cka(x_TD, x_TD), abs=1e-5)
    other_TD = draw(seed + 3, 30, 4)
    assert linear_cka(x_TD, other_TD) == pytest.approx(linear_cka(other_TD, turned_TD), abs=1e-5)


def test_unbiased_cka_of_unrelated_features_is_zero_on_average_where_the_biased_one_is_not() -> None:
    pairs = [(draw(seed, 20, 30), draw(seed + 1000, 20, 30)) for seed in range(60)]
    unbiased = [unbiased_cka(x_TD, y_TD) for x_TD, y_TD in pairs]
    assert abs(sum(unbiased) / len(unbiased)) < 0.02
    assert min(linear_cka(x_TD, y_TD) for x_TD, y_TD in pairs) > 0.4
    with pytest.raises(ValueError, match="at least 4"):
        unbiased_cka(draw(0, 3, 2), draw(1, 3, 2))


@law
@given(seed=seeds)
def test_influence_is_zero_for_a_stretch_and_two_for_a_turn_about(seed: int) -> None:
    x_TD = draw(seed, 8, 5)
    assert block_influence(x_TD, 3 * x_TD) == pytest.approx(0.0, abs=1e-5)
    assert block_influence(x_TD, -x_TD) == pytest.approx(2.0, abs=1e-5)


@law
@given(seed=seeds, width=st.sampled_from([1, 2, 4]))
def test_what_others_cannot_give_back_is_the_residual_of_a_regression(seed: int, width: int) -> None:
    x_TD = draw_linear(seed, num_inputs=8, num_tokens=200).x_TD.double()
    gram_DD = x_TD.T @ x_TD / len(x_TD)
    ridge = 1e-4 * gram_DD.diagonal().mean()
    damped_TD = torch.cat([x_TD, (ridge * len(x_TD)).sqrt() * torch.eye(8, dtype=torch.float64)])
    found_G = unit_reconstruction_errors(gram_DD, unit_width=width)
    for unit in range(8 // width):
        own = slice(unit * width, (unit + 1) * width)
        others_TD = torch.cat([damped_TD[:, : own.start], damped_TD[:, own.stop :]], dim=1)
        left = damped_TD[:, own] - others_TD @ torch.linalg.lstsq(others_TD, damped_TD[:, own]).solution
        expected = float(left.square().sum() / damped_TD[:, own].square().sum())
        assert float(found_G[unit]) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_a_copy_is_redundant_a_silent_one_too_and_a_lone_one_is_not() -> None:
    x_TD = draw(0, 500, 4)
    x_TD[:, 1] = 2 * x_TD[:, 0]
    x_TD[:, 3] = 0
    errors_D = unit_reconstruction_errors(x_TD.T @ x_TD / 500)
    assert errors_D[:2].tolist() == pytest.approx([0, 0], abs=1e-3)
    assert errors_D[2] > 0.95
    assert errors_D[3] == 0
    with pytest.raises(SingularGramError):
        unit_reconstruction_errors(torch.zeros(3, 3))


def test_a_linear_block_is_given_back_and_noise_is_not() -> None:
    x_TD = draw(0, 400, 6)
    assert block_reconstruction_error(x_TD, x_TD @ draw(1, 6, 6)) < 1e-6
    assert block_reconstruction_error(x_TD, draw(2, 400, 6)) > 0.9
