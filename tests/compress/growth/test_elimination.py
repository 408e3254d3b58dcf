"""Eliminating units one after another is the same as refitting once, and its cost is the error that it leaves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import DrawnLinear, damped, draw_linear, law, quadratic_error, seeds

from birdbone.compress.errors import SingularGramError
from birdbone.compress.growth.elimination import bias_correction, refit_columns, removal_order
from birdbone.compress.refit import refit_survivors


def kept_after(linear: DrawnLinear, units: torch.Tensor, width: int) -> torch.Tensor:
    gone = {int(unit) * width + column for unit in units for column in range(width)}
    return torch.tensor([column for column in range(linear.w_FD.shape[1]) if column not in gone])


def widened(v_FK: torch.Tensor, kept_K: torch.Tensor, width: int) -> torch.Tensor:
    w_FD = v_FK.new_zeros(len(v_FK), width)
    w_FD[:, kept_K] = v_FK
    return w_FD


@law
@given(seed=seeds, width=st.sampled_from([1, 2]), step=st.integers(1, 3))
def test_the_sum_of_the_costs_is_the_error_of_the_refit(seed: int, width: int, step: int) -> None:
    linear = draw_linear(seed, num_inputs=12, dtype=torch.float64)
    order = removal_order(linear.w_FD, linear.gram_DD, num_removed=4, unit_width=width, units_a_step=step)
    assert len(set(order.units_R.tolist())) == 4
    kept_K = kept_after(linear, order.units_R, width)
    v_FK = refit_columns(linear.w_FD, kept_K, linear.gram_DD)
    gram_DD = damped(linear.gram_DD, 0.01)
    error = quadratic_error(linear.w_FD, widened(v_FK.double(), kept_K, 12), gram_DD)
    power = float(((linear.w_FD @ linear.gram_DD) * linear.w_FD).sum())
    assert float(order.errors_R[-1]) == pytest.approx(error / power, rel=1e-2, abs=1e-6)
    assert order.errors_R.tolist() == sorted(order.errors_R.tolist())


@law
@given(seed=seeds)
def test_the_first_to_go_alone_is_the_one_that_costs_least(seed: int) -> None:
    linear = draw_linear(seed, num_inputs=7, dtype=torch.float64)
    gram_DD = damped(linear.gram_DD, 0.01)
    costs = []
    for unit in range(7):
        kept_K = kept_after(linear, torch.tensor([unit]), 1)
        v_FK = refit_columns(linear.w_FD, kept_K, linear.gram_DD).double()
        costs.append(quadratic_error(linear.w_FD, widened(v_FK, kept_K, 7), gram_DD))
    first = int(removal_order(linear.w_FD, linear.gram_DD, num_removed=1, units_a_step=1).units_R[0])
    assert costs[first] <= min(costs) * (1 + 1e-3)


@law
@given(seed=seeds, count=st.integers(1, 7))
def test_the_closed_form_is_where_conjugate_gradients_end(seed: int, count: int) -> None:
    linear = draw_linear(seed, dtype=torch.float64)
    kept_K = torch.randperm(8, generator=torch.Generator().manual_seed(seed))[:count].sort().values
    mask_FD = torch.zeros(4, 8, dtype=torch.bool)
    mask_FD[:, kept_K] = True
    exact_FK = refit_columns(linear.w_FD, kept_K, linear.gram_DD)
    found_FD = refit_survivors(linear.w_FD, mask_FD, linear.gram_DD, num_iterations=60)
    torch.testing.assert_close(exact_FK.double(), found_FD[:, kept_K], rtol=1e-3, atol=1e-4)


@law
@given(seed=seeds)
def test_the_corrected_bias_keeps_the_mean_output(seed: int) -> None:
    linear = draw_linear(seed)
    kept_K = torch.tensor([0, 2, 5])
    v_FK = refit_columns(linear.w_FD, kept_K, linear.gram_DD)
    mean_D = linear.x_TD.mean(dim=0)
    gain_F = bias_correction(linear.w_FD, v_FK, kept_K, mean_D)
    torch.testing.assert_close(linear.w_FD @ mean_D, v_FK @ mean_D[kept_K] + gain_F, rtol=1e-3, atol=1e-4)


def test_a_copy_goes_for_nothing_and_zero_inputs_are_refused() -> None:
    x_TD = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    x_TD[:, 2] = x_TD[:, 0]
    w_FD, gram_DD = torch.eye(3), x_TD.T @ x_TD / 100
    order = removal_order(w_FD, gram_DD, num_removed=1, units_a_step=1, damping=1e-6)
    assert int(order.units_R[0]) in (0, 2)
    assert float(order.errors_R[0]) < 1e-4
    kept_K = kept_after(DrawnLinear(w_FD=w_FD, x_TD=x_TD), order.units_R, 1)
    assert refit_columns(w_FD, kept_K, gram_DD, damping=1e-6).sum(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-3)
    with pytest.raises(SingularGramError):
        removal_order(w_FD, torch.zeros(3, 3), num_removed=1)
