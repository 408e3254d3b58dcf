"""Regrowth brings back what the loss asks for most, never too much, and takes nothing away."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.matrices import draw_mask, law, seeds

from birdbone.compress.regrowth import choose_regrowth, loss_gradients
from birdbone.models import LoadedModel

fractions = st.floats(0, 1)
PATHS = ["model.layers.0.self_attn.q_proj", "model.layers.3.mlp.down_proj", "model.layers.2.self_attn.v_proj"]


@law
@given(seed=seeds, columns=st.integers(1, 20), keep=fractions, fraction=fractions)
def test_at_most_the_fraction_of_what_is_shed_comes_back_and_nothing_goes(
    seed: int, columns: int, keep: float, fraction: float
) -> None:
    mask_FD = draw_mask(seed, 4, columns, keep=keep)
    before_FD = mask_FD.clone()
    gradient_FD = torch.randn(4, columns, generator=torch.Generator().manual_seed(seed))
    grown_FD = choose_regrowth(gradient_FD, mask_FD, fraction=fraction)
    assert bool(grown_FD[mask_FD].all())
    num_shed = int((~mask_FD).sum())
    assert int((grown_FD & ~mask_FD).sum()) == int(num_shed * fraction)
    assert torch.equal(mask_FD, before_FD)


@law
@given(seed=seeds, fraction=fractions, num_levels=st.integers(1, 6))
def test_those_with_the_largest_gradient_come_back(seed: int, fraction: float, num_levels: int) -> None:
    mask_FD = draw_mask(seed, 4, 10)
    generator = torch.Generator().manual_seed(seed)
    gradient_FD = torch.randint(-num_levels, num_levels + 1, (4, 10), generator=generator).float()
    grown_FD = choose_regrowth(gradient_FD, mask_FD, fraction=fraction)
    chosen = gradient_FD[grown_FD & ~mask_FD].abs().tolist()
    candidates = sorted(gradient_FD[~mask_FD].abs().tolist(), reverse=True)
    assert sorted(chosen, reverse=True) == candidates[: len(chosen)]


def test_ties_go_to_the_lower_index() -> None:
    mask_FD = torch.tensor([[True, False, False], [False, False, True]])
    grown_FD = choose_regrowth(torch.ones(2, 3), mask_FD, fraction=0.5)
    assert grown_FD.tolist() == [[True, True, True], [False, False, True]]


def test_a_gradient_that_is_not_a_number_takes_nothing_away() -> None:
    mask_FD = torch.tensor([[True, False, False, True]])
    grown_FD = choose_regrowth(torch.full((1, 4), float("nan")), mask_FD, fraction=0.5)
    assert grown_FD.tolist() == [[True, True, False, True]]


def test_gradients_are_those_of_the_whole_model_also_for_what_is_shed(tiny_model: LoadedModel, dense: Dense) -> None:
    model, windows_NT = tiny_model.model, dense.healing_NT[:3]
    mask_FD = draw_mask(0, *model.get_parameter(f"{PATHS[0]}.weight").shape)
    with torch.no_grad():
        model.get_parameter(f"{PATHS[0]}.weight").mul_(mask_FD)
    reference = copy.deepcopy(model)
    reference(input_ids=windows_NT, labels=windows_NT).loss.backward()
    found = loss_gradients(model, windows_NT, PATHS)
    assert list(found) == PATHS
    for path, gradient_FD in found.items():
        expected_FD = reference.get_parameter(f"{path}.weight").grad
        torch.testing.assert_close(gradient_FD, expected_FD, rtol=1e-3, atol=1e-6)
    assert bool((found[PATHS[0]][~mask_FD] != 0).any())


@pytest.mark.parametrize("requires_grad", [True, False])
def test_the_model_is_left_as_it_was(tiny_model: LoadedModel, dense: Dense, requires_grad: bool) -> None:
    model = tiny_model.model.requires_grad_(requires_grad)
    weight = model.get_parameter(f"{PATHS[0]}.weight")
    weight.grad = torch.ones_like(weight)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss_gradients(model, dense.healing_NT[:1], PATHS)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert {parameter.requires_grad for parameter in model.parameters()} == {requires_grad}
    assert bool((weight.grad == 1).all())
    assert all(parameter.grad is None for parameter in model.parameters() if parameter is not weight)
