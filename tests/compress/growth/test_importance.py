"""Scores of groups: sums of the scores of their members, and what they say of the loss to first order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from tests.compress.conftest import Dense
from tests.compress.growth.random_models import graph_of
from tests.compress.matrices import draw_linear, law, seeds

from birdbone.compress.growth.importance import activation_power, fluctuation, taylor_by_position, taylor_of_pieces
from birdbone.compress.growth.structures import Structure


@law
@given(seed=seeds)
def test_power_is_what_each_unit_writes_alone_and_fluctuation_what_a_bias_cannot(seed: int) -> None:
    linear = draw_linear(seed)
    mean_D, square_D = linear.x_TD.mean(dim=0), linear.x_TD.square().mean(dim=0)
    power_D = activation_power(linear.w_FD, square_D)
    alone_TFD = linear.x_TD[:, None, :] * linear.w_FD
    torch.testing.assert_close(power_D, alone_TFD.square().sum(dim=1).mean(dim=0), rtol=1e-3, atol=1e-5)
    moved_D = fluctuation(linear.w_FD, square_D, mean_D)
    expected_D = (alone_TFD - alone_TFD.mean(dim=0)).square().sum(dim=1).mean(dim=0)
    torch.testing.assert_close(moved_D, expected_D, rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(activation_power(linear.w_FD, square_D, unit_width=4), power_D.reshape(2, 4).sum(dim=1))


def test_taylor_of_a_group_is_the_sum_over_all_that_goes_with_it(dense: Dense) -> None:
    graph = graph_of(dense.loaded.model)
    names = graph.tensors_of(Structure(kind="feed_forward", layer=1))
    weights = {name: dense.loaded.model.get_parameter(name) for name in names}
    gradients = {name: torch.ones_like(weight) for name, weight in weights.items()}
    pieces = graph.pieces(Structure(kind="neuron", layer=1, index=5))
    gate, up, down = (weights[f"model.layers.1.mlp.{part}_proj.weight"].abs() for part in ("gate", "up", "down"))
    expected = float(gate[5].sum() + up[5].sum() + down[:, 5].sum())
    assert taylor_of_pieces(weights, gradients, pieces) == pytest.approx(expected, rel=1e-5)
    everyone = graph.spaces["layers.1.neurons"]
    cut = graph.pieces(Structure(kind="neuron", layer=1, index=0))
    assert {piece.tensor for piece in cut} == {axis.tensor for axis in everyone.axes}
    whole = [
        type(cut[0])(tensor=axis.tensor, axis=axis.axis, indices=axis.indices(range(160))) for axis in everyone.axes
    ]
    assert float(taylor_by_position(weights, gradients, whole)[5]) == pytest.approx(expected, rel=1e-5)
