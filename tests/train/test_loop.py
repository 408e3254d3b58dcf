"""The loop converges, repeats, keeps its promises at each step, and never hands back what is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

from birdbone.train import DivergedError, FitConfig
from birdbone.train.loop import FitResult, fit, trainable
from birdbone.watch import MemorySink

seeds = st.integers(min_value=0, max_value=2**32 - 1)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def quadratic(parameter: Parameter, target: Tensor, *, curvature: float = 1.0) -> Callable[[int], Tensor]:
    return lambda step: curvature * (parameter - target).square().sum()


@settings(max_examples=5, deadline=None)
@given(seed=seeds, num_weights=st.integers(1, 8))
def test_it_finds_the_minimum_of_a_quadratic(seed: int, num_weights: int) -> None:
    target = draw(num_weights, seed=seed)
    parameter = Parameter(torch.zeros(num_weights))
    config = FitConfig(num_steps=300, learning_rate=0.1, final_fraction=0.0)
    result = fit([parameter], quadratic(parameter, target), config)
    torch.testing.assert_close(parameter.detach(), target, rtol=0, atol=0.02)
    assert result.num_restarts == 0
    assert len(result.losses) == 300
    assert result.losses[0] == pytest.approx(float(target.square().sum()), rel=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, num_steps=st.integers(0, 12))
def test_the_same_fit_gives_the_same_bits(seed: int, num_steps: int) -> None:
    def run() -> tuple[Tensor, FitResult]:
        parameter = Parameter(draw(5, seed=seed))
        result = fit([parameter], quadratic(parameter, torch.ones(5)), FitConfig(num_steps=num_steps))
        return parameter.detach(), result

    (first, first_result), (second, second_result) = run(), run()
    assert torch.equal(first, second)
    assert first_result == second_result


@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_the_rate_falls_along_a_cosine_to_its_final_fraction(num_steps: int) -> None:
    # Under a constant gradient each step of Adam is as long as its rate.
    parameter, positions = Parameter(torch.zeros(1)), [0.0]
    config = FitConfig(num_steps=num_steps, learning_rate=0.01, final_fraction=0.25)
    fit([parameter], lambda step: parameter.sum(), config, after_step=lambda: positions.append(parameter.item()))
    steps = [before - after for before, after in pairwise(positions)]
    shares = [math.cos(math.pi * step / max(1, num_steps - 1)) for step in range(num_steps)]
    assert steps == pytest.approx([0.01 * (0.25 + 0.75 * (1 + share) / 2) for share in shares], rel=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, factor=st.floats(10, 1e6))
def test_gradients_are_clipped_so_that_the_scale_of_a_steep_loss_does_not_matter(seed: int, factor: float) -> None:
    def run(curvature: float) -> Parameter:
        parameter = Parameter(draw(4, seed=seed) + 100)
        config = FitConfig(num_steps=5, learning_rate=0.1, max_gradient_norm=1.0)
        fit([parameter], quadratic(parameter, torch.zeros(4), curvature=curvature), config)
        return parameter

    plain, steep = run(1.0), run(factor)
    torch.testing.assert_close(plain.detach(), steep.detach())
    assert steep.grad is not None
    assert float(steep.grad.norm()) <= 1 + 1e-5


def test_after_step_runs_after_each_update_and_what_it_does_stays() -> None:
    parameter, mask, seen = Parameter(torch.zeros(6)), torch.tensor([1.0, 0.0] * 3), []

    def put_mask_on() -> None:
        seen.append(parameter.detach().clone())
        with torch.no_grad():
            parameter.mul_(mask)

    config = FitConfig(num_steps=9, learning_rate=0.1)
    fit([parameter], quadratic(parameter, torch.ones(6)), config, after_step=put_mask_on)
    assert len(seen) == 9
    assert all(bool((values != 0).all()) for values in seen)
    assert torch.equal(parameter.detach() == 0, mask == 0)


def test_zero_steps_change_nothing() -> None:
    parameter = Parameter(torch.ones(3))
    result = fit([parameter], quadratic(parameter, torch.zeros(3)), FitConfig(num_steps=0))
    assert torch.equal(parameter.detach(), torch.ones(3))
    assert result == FitResult(losses=(), num_restarts=0)


def cliff(parameter: Parameter, *, edge: float) -> Callable[[int], Tensor]:
    """A quadratic around 1 that is NaN beyond `edge`."""
    return lambda step: torch.where(parameter > edge, math.nan, (parameter - 1).square()).sum()


def test_a_fit_that_leaves_the_finite_starts_again_at_half_the_rate() -> None:
    parameter, starts = Parameter(torch.zeros(1)), []
    loss = cliff(parameter, edge=3.0)

    def loss_of_step(step: int) -> Tensor:
        if step == 0:
            starts.append(parameter.item())
        return loss(step)

    config = FitConfig(num_steps=5, learning_rate=4.0, final_fraction=0.0)
    result = fit([parameter], loss_of_step, config)
    assert result.num_restarts == 1
    assert starts == [0.0, 0.0]
    assert all(math.isfinite(value) for value in (*result.losses, parameter.item()))


def test_a_fit_that_is_finite_at_no_rate_says_so_and_puts_the_parameters_back() -> None:
    parameter = Parameter(torch.zeros(1))
    config = FitConfig(num_steps=5, learning_rate=1000.0, max_restarts=2)
    with pytest.raises(DivergedError, match="250") as caught:
        fit([parameter], cliff(parameter, edge=3.0), config)
    assert caught.value.code == "train.diverged"
    assert caught.value.fields == {"learning_rate": 250.0}
    assert torch.equal(parameter.detach(), torch.zeros(1))


@pytest.mark.parametrize("num_steps", [1, 3])
def test_a_gradient_that_is_not_finite_under_a_finite_loss_never_reaches_the_parameters(num_steps: int) -> None:
    parameter = Parameter(torch.zeros(2))
    with pytest.raises(DivergedError):
        # The norm of the null vector: the loss is 0, its gradient 0 / 0.
        fit([parameter], lambda step: parameter.square().sum().sqrt(), FitConfig(num_steps=num_steps))
    assert torch.equal(parameter.detach(), torch.zeros(2))


def test_each_loss_goes_to_the_sink_under_the_name_given() -> None:
    parameter, sink = Parameter(torch.zeros(2)), MemorySink()
    loss = quadratic(parameter, torch.ones(2))
    result = fit([parameter], loss, FitConfig(num_steps=4), sink=sink, name="error")
    assert tuple(sink.values("error")) == result.losses
    assert [row.step for row in sink.rows] == [0, 1, 2, 3]


def test_parameters_are_trainable_inside_the_block_only_and_keep_their_own_gradients() -> None:
    frozen, free = Parameter(torch.ones(2), requires_grad=False), Parameter(torch.ones(2))
    free.grad = torch.full((2,), 7.0)

    def learn_and_fail() -> None:
        with trainable([frozen, free]):
            (frozen * free).sum().backward()
            assert torch.equal(frozen.grad, torch.ones(2))
            raise DivergedError("leaving the block by an error")

    with pytest.raises(DivergedError):
        learn_and_fail()
    assert (frozen.requires_grad, free.requires_grad) == (False, True)
    assert frozen.grad is None
    assert torch.equal(free.grad, torch.full((2,), 7.0))


def test_the_rate_rises_in_warm_up_steps_and_only_then() -> None:
    # Under a constant gradient each step of Adam is as long as its rate.
    parameter, positions = Parameter(torch.zeros(1)), [0.0]
    config = FitConfig(num_steps=6, learning_rate=0.4, num_warmup_steps=3, final_fraction=1.0)
    fit([parameter], lambda _step: parameter.sum(), config, after_step=lambda: positions.append(float(parameter)))
    lengths = [before - after for before, after in pairwise(positions)]
    assert lengths == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4], rel=1e-4)


@pytest.mark.parametrize("allowed", [0, 1, 4])
def test_a_stop_ends_the_fit_and_keeps_what_it_learned(allowed: int) -> None:
    parameter, done = Parameter(torch.zeros(1)), []
    result = fit(
        [parameter],
        lambda _step: parameter.sum(),
        FitConfig(num_steps=4, learning_rate=0.1),
        after_step=lambda: done.append(None),
        should_stop=lambda: len(done) == allowed,
    )
    assert len(result.losses) == len(done) == allowed
    assert (float(parameter.detach()) < 0) == (allowed > 0)
