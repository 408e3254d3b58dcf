"""Masks and values chosen together: on the pattern, better than a score alone, exact where nothing is in the way."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import damped, draw_linear, law, seeds
from torch import Tensor

from birdbone.compress.errors import SingularGramError
from birdbone.compress.importance import wanda_scores
from birdbone.compress.masks.patterns import keep_highest
from birdbone.compress.refit import choose_survivors, prepare_gram, refit_survivors


def half(scores_FD):
    return keep_highest(scores_FD, sparsity=0.5)


def errors_of(w_FD: Tensor, mask_FD: Tensor, gram_DD: Tensor) -> Tensor:
    """Each row's output error once its survivors are refitted exactly."""
    left_FD = w_FD - refit_survivors(w_FD, mask_FD, gram_DD, num_iterations=40, damping=0.0)
    return ((left_FD @ gram_DD) * left_FD).sum(dim=1)


@law
@given(seed=seeds, num_inputs=st.integers(2, 12), num_rounds=st.integers(0, 5))
def test_the_values_lie_on_the_mask_and_the_mask_on_the_pattern(seed: int, num_inputs: int, num_rounds: int) -> None:
    linear = draw_linear(seed, num_inputs=num_inputs, num_tokens=30)
    before_FD = linear.w_FD.clone()
    gram = prepare_gram(damped(linear.gram_DD, 0.01))
    mask_FD, start_FD = choose_survivors(linear.w_FD, gram, half, num_rounds=num_rounds)
    assert bool((mask_FD.sum(dim=1) == num_inputs - round(num_inputs / 2)).all())
    assert bool((start_FD[~mask_FD] == 0).all())
    assert bool(start_FD.isfinite().all())
    assert torch.equal(linear.w_FD, before_FD)


@law
@given(seed=seeds)
def test_without_rounds_it_is_wandas_mask(seed: int) -> None:
    linear = draw_linear(seed, num_inputs=8, num_tokens=30)
    gram_DD = damped(linear.gram_DD, 0.01)
    mask_FD, start_FD = choose_survivors(linear.w_FD, prepare_gram(gram_DD), half, num_rounds=0)
    assert torch.equal(mask_FD, half(wanda_scores(linear.w_FD, gram_DD.diagonal())))
    torch.testing.assert_close(start_FD, linear.w_FD * mask_FD)


@law
@given(seed=seeds)
def test_inputs_that_know_nothing_of_each_other_leave_wandas_mask_as_it_is(seed: int) -> None:
    linear = draw_linear(seed, num_inputs=8, num_tokens=30, dtype=torch.float64)
    gram = prepare_gram(torch.diag(linear.gram_DD.diagonal()), penalty=1.0)
    first, _ = choose_survivors(linear.w_FD, gram, half, num_rounds=0)
    last, values = choose_survivors(linear.w_FD, gram, half, num_rounds=6)
    assert torch.equal(first, last)
    assert values.shape == linear.w_FD.shape


def test_of_two_inputs_that_say_the_same_one_goes() -> None:
    generator = torch.Generator().manual_seed(0)
    x_TD = torch.randn(400, 4, generator=generator)
    x_TD[:, 1] = x_TD[:, 0] + 0.05 * torch.randn(400, generator=generator)
    w_FD = torch.tensor([[1.0, 1.0, 0.7, 0.05]])
    gram_DD = damped(x_TD.T @ x_TD / 400, 0.01)
    mask_FD, _ = choose_survivors(w_FD, prepare_gram(gram_DD), half, num_rounds=10)
    assert bool(mask_FD[0, 2])
    assert int(mask_FD[0, :2].sum()) == 1
    by_score = half(wanda_scores(w_FD, gram_DD.diagonal()))
    assert float(errors_of(w_FD, mask_FD, gram_DD)) < 0.2 * float(errors_of(w_FD, by_score, gram_DD))


def test_where_few_causes_speak_through_many_inputs_it_beats_a_score() -> None:
    ratios = []
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        causes_TC = torch.randn(300, 12, generator=generator)
        x_TD = causes_TC @ torch.randn(12, 48, generator=generator) + 0.5 * torch.randn(300, 48, generator=generator)
        w_FD, gram_DD = torch.randn(16, 48, generator=generator), damped(x_TD.T @ x_TD / 300, 0.01)
        chosen, _ = choose_survivors(w_FD, prepare_gram(gram_DD), half)
        by_score = half(wanda_scores(w_FD, gram_DD.diagonal()))
        found, scored = (errors_of(w_FD, mask_FD, gram_DD).sum() for mask_FD in (chosen, by_score))
        ratios.append(float(found / scored))
    assert max(ratios) < 0.95


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(SingularGramError):
        prepare_gram(torch.full((3, 3), float("nan")))
