"""The refit is the masked least-squares solution, and each iteration brings it nearer."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import DrawnLinear, damped, draw_linear, draw_mask, law, quadratic_error, seeds
from torch import Tensor

from birdbone.compress.refit import refit_survivors

sizes = st.integers(1, 10)
dampings = st.sampled_from([1e-6, 0.01, 1.0])


def closed_form(linear: DrawnLinear, mask_FD: Tensor, *, damping: float) -> Tensor:
    """Row by row: solve the normal equations of the surviving inputs."""
    gram_DD = damped(linear.gram_DD, damping)
    v_FD = torch.zeros_like(linear.w_FD)
    for row, mask_D in enumerate(mask_FD):
        alive = mask_D.nonzero().flatten()
        if len(alive):
            v_FD[row, alive] = torch.linalg.solve(gram_DD[alive][:, alive], (linear.w_FD[row] @ gram_DD)[alive])
    return v_FD


@law
@given(seed=seeds, num_inputs=sizes, num_tokens=st.integers(1, 30), keep=st.floats(0, 1))
def test_it_reaches_the_closed_form(seed: int, num_inputs: int, num_tokens: int, keep: float) -> None:
    linear = draw_linear(seed, num_inputs=num_inputs, num_tokens=num_tokens, dtype=torch.float64)
    mask_FD = draw_mask(seed, *linear.w_FD.shape, keep=keep)
    refitted_FD = refit_survivors(linear.w_FD, mask_FD, linear.gram_DD, num_iterations=60, damping=0.01)
    expected_FD = closed_form(linear, mask_FD, damping=0.01)
    torch.testing.assert_close(refitted_FD, expected_FD, rtol=1e-6, atol=1e-6)


@law
@given(seed=seeds, num_inputs=sizes, num_iterations=st.integers(1, 30), damping=dampings)
def test_what_is_shed_stays_exactly_zero(seed: int, num_inputs: int, num_iterations: int, damping: float) -> None:
    linear = draw_linear(seed, num_inputs=num_inputs)
    before_FD, mask_FD = linear.w_FD.clone(), draw_mask(seed, 4, num_inputs)
    start_FD = draw_linear(seed + 1, num_inputs=num_inputs).w_FD
    for start in (None, start_FD):
        refitted_FD = refit_survivors(
            linear.w_FD, mask_FD, linear.gram_DD, num_iterations=num_iterations, damping=damping, start_FD=start
        )
        assert bool((refitted_FD[~mask_FD] == 0).all())
        assert bool(refitted_FD.isfinite().all())
    assert torch.equal(linear.w_FD, before_FD)


@law
@given(seed=seeds, num_inputs=sizes, num_tokens=st.integers(1, 30), num_iterations=st.integers(1, 30))
def test_the_output_error_is_never_above_that_of_the_mask_alone(
    seed: int, num_inputs: int, num_tokens: int, num_iterations: int
) -> None:
    linear = draw_linear(seed, num_inputs=num_inputs, num_tokens=num_tokens)
    mask_FD = draw_mask(seed, 4, num_inputs)
    refitted_FD = refit_survivors(linear.w_FD, mask_FD, linear.gram_DD, num_iterations=num_iterations)
    masked_error = linear.output_error(linear.w_FD * mask_FD)
    assert linear.output_error(refitted_FD) <= masked_error * (1 + 1e-4) + 1e-9


@law
@given(seed=seeds, damping=dampings, num_tokens=st.integers(1, 30))
def test_each_iteration_lowers_the_damped_error_from_any_start(seed: int, damping: float, num_tokens: int) -> None:
    linear = draw_linear(seed, num_tokens=num_tokens, dtype=torch.float64)
    start_FD = draw_linear(seed + 1, dtype=torch.float64).w_FD
    mask_FD = draw_mask(seed, 4, 8)
    gram_DD = damped(linear.gram_DD, damping)
    candidates = [start_FD * mask_FD] + [
        refit_survivors(linear.w_FD, mask_FD, linear.gram_DD, num_iterations=count, damping=damping, start_FD=start_FD)
        for count in range(1, 12)
    ]
    errors = [quadratic_error(linear.w_FD, candidate_FD, gram_DD) for candidate_FD in candidates]
    for before, after in pairwise(errors):
        assert after <= before * (1 + 1e-9) + 1e-12


@law
@given(seed=seeds, num_inputs=sizes)
def test_a_full_mask_gives_the_dense_weights_back(seed: int, num_inputs: int) -> None:
    linear = draw_linear(seed, num_inputs=num_inputs, dtype=torch.float64)
    full_FD = torch.ones_like(linear.w_FD, dtype=torch.bool)
    assert torch.equal(refit_survivors(linear.w_FD, full_FD, linear.gram_DD), linear.w_FD)
    from_zero_FD = refit_survivors(
        linear.w_FD, full_FD, linear.gram_DD, num_iterations=60, start_FD=torch.zeros_like(linear.w_FD)
    )
    torch.testing.assert_close(from_zero_FD, linear.w_FD, rtol=1e-6, atol=1e-6)


@law
@given(seed=seeds, column=st.integers(0, 7))
def test_a_silent_input_keeps_its_surviving_weights(seed: int, column: int) -> None:
    linear = draw_linear(seed)
    linear.x_TD[:, column] = 0.0
    mask_FD = draw_mask(seed, 4, 8)
    refitted_FD = refit_survivors(linear.w_FD, mask_FD, linear.gram_DD)
    torch.testing.assert_close(refitted_FD[:, column], (linear.w_FD * mask_FD)[:, column])


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-12, 1e12])
@pytest.mark.parametrize("num_iterations", [1, 20, 300])
def test_a_gram_matrix_of_low_rank_or_odd_scale_stays_finite(scale: float, num_iterations: int) -> None:
    linear = draw_linear(0, num_inputs=12, num_tokens=2)
    mask_FD = draw_mask(0, 4, 12)
    gram_DD = linear.gram_DD * scale
    refitted_FD = refit_survivors(linear.w_FD, mask_FD, gram_DD, num_iterations=num_iterations)
    assert bool(refitted_FD.isfinite().all())
    masked_error = quadratic_error(linear.w_FD, linear.w_FD * mask_FD, gram_DD)
    assert quadratic_error(linear.w_FD, refitted_FD, gram_DD) <= masked_error * (1 + 1e-4)


def test_a_row_without_survivors_stays_empty() -> None:
    linear = draw_linear(0)
    refitted_FD = refit_survivors(linear.w_FD, torch.zeros(4, 8, dtype=torch.bool), linear.gram_DD)
    assert torch.equal(refitted_FD, torch.zeros(4, 8))
