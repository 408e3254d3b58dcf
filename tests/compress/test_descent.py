"""Neither step of the descent ever raises the output's error, and each is the best step of its kind."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compress.matrices import damped, draw_linear, draw_mask, quadratic_error, seeds
from torch import Tensor

from birdbone.compress.config import RoundingConfig
from birdbone.compress.quantize import Grid, descend, fit_grid, quantize_linear, refit_scales, round_with_feedback
from birdbone.compress.quantize.descent import row_errors
from birdbone.compress.statistics import InputStatistics
from birdbone.models.gguf import BLOCK_SIZE, GgufType, QuantizedTensor, quantize_tensor

few = settings(max_examples=6, deadline=None)
GRIDS = [GgufType.Q4_0, GgufType.Q4_1, GgufType.Q5_0, GgufType.Q5_1, GgufType.IQ4_NL]
grids = st.sampled_from(GRIDS)


def draw_wide(seed: int, *, outputs: int = 4) -> tuple[Tensor, Tensor]:
    linear = draw_linear(seed, num_outputs=outputs, num_inputs=2 * BLOCK_SIZE, num_tokens=300)
    return linear.w_FD, linear.gram_DD


def rows(w_FD: Tensor, tensor: QuantizedTensor, gram_DD: Tensor) -> Tensor:
    return row_errors((w_FD - tensor.dequantize()).double(), gram_DD.double())


@few
@given(seed=seeds, kind=grids, sweeps=st.integers(0, 3))
def test_no_row_gets_worse_from_any_start(seed: int, kind: GgufType, sweeps: int) -> None:
    w_FD, gram_DD = draw_wide(seed)
    start = quantize_tensor(w_FD, kind)
    found = descend(start, w_FD, gram_DD, num_sweeps=sweeps)
    held_DD = damped(gram_DD.double(), 0.01)
    assert bool((rows(w_FD, found, held_DD) <= rows(w_FD, start, held_DD) * (1 + 1e-4) + 1e-9).all())
    if sweeps == 0:
        assert torch.equal(found.codes, start.codes)
        assert torch.equal(found.scales, start.scales)


@few
@given(seed=seeds, kind=grids)
def test_descent_gets_below_feedback(seed: int, kind: GgufType) -> None:
    w_FD, gram_DD = draw_wide(seed, outputs=32)
    fed = round_with_feedback(w_FD, gram_DD, kind=kind)
    found = descend(fed, w_FD, gram_DD, num_sweeps=2)
    held_DD = damped(gram_DD, 0.01)
    errors = [quadratic_error(w_FD, each.dequantize(), held_DD) for each in (found, fed)]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("kind", GRIDS)
def test_after_enough_sweeps_no_single_code_can_be_bettered(kind: GgufType) -> None:
    w_FD, gram_DD = draw_wide(3, outputs=1)
    held_DD = damped(gram_DD, 0.01)
    found = descend(round_with_feedback(w_FD, gram_DD, kind=kind), w_FD, gram_DD, num_sweeps=30)
    least = quadratic_error(w_FD, found.dequantize(), held_DD)
    low, high = kind.code_range
    codes = kind.code_values or tuple(range(low, high + 1))
    for column, code in itertools.product((0, 40), codes):
        other_FD = found.codes.clone()
        other_FD[0, column] = code
        changed = QuantizedTensor(type=kind, codes=other_FD, scales=found.scales, mins=found.mins)
        assert quadratic_error(w_FD, changed.dequantize(), held_DD) >= least * (1 - 1e-3)


@few
@given(seed=seeds, kind=grids, factor=st.floats(0.98, 1.02))
def test_no_other_scale_is_better_than_the_refitted_one(seed: int, kind: GgufType, factor: float) -> None:
    w_FD, gram_DD = draw_wide(seed)
    refitted = refit_scales(quantize_tensor(w_FD, kind), w_FD, gram_DD)
    other = QuantizedTensor(
        type=kind, codes=refitted.codes, scales=(refitted.scales * factor).half().float(), mins=refitted.mins
    )
    assert bool((rows(w_FD, other, gram_DD) >= rows(w_FD, refitted, gram_DD) * (1 - 1e-2)).all())
    assert torch.equal(refitted.scales, refitted.scales.half().float())


def test_scales_of_two_blocks_that_read_the_same_input_are_solved_together() -> None:
    w_FD = torch.zeros(1, 64)
    w_FD[0, 0], w_FD[0, 32] = 1.0, 3.0
    codes_FD = torch.zeros(1, 64, dtype=torch.int8)
    codes_FD[0, 0] = 4
    gram_DD = torch.eye(64)
    gram_DD[0, 32] = gram_DD[32, 0] = 0.5  # what the second block cannot say (its codes are 0), the first makes up for
    tensor = QuantizedTensor(type=GgufType.Q4_0, codes=codes_FD, scales=torch.tensor([[0.25, 1.0]]))
    refitted = refit_scales(tensor, w_FD, gram_DD)
    assert float(refitted.dequantize()[0, 0]) == pytest.approx(1 + 0.5 * 3, rel=1e-3)
    assert float(refitted.dequantize()[0, 32]) == 0.0


@few
@given(seed=seeds, keep=st.floats(0.1, 0.9), kind=st.sampled_from([GgufType.Q4_0, GgufType.IQ4_NL]))
def test_a_weight_that_is_shed_stays_zero(seed: int, keep: float, kind: GgufType) -> None:
    w_FD, gram_DD = draw_wide(seed)
    mask_FD = draw_mask(seed, 4, 64, keep=keep)
    config = RoundingConfig(kind="descent", num_sweeps=2)
    statistics = InputStatistics(gram_DD=gram_DD, num_tokens=300)
    found = quantize_linear(w_FD, statistics, kind=kind, mask_FD=mask_FD, config=config)
    if kind.holds_zero:
        assert bool((found.codes[~mask_FD] == 0).all())
    else:  # no code of it is zero: a shed weight goes where the error is least
        assert bool(torch.isin(found.codes, torch.tensor(kind.code_values)).all())


@few
@given(seed=seeds, kind=grids)
def test_searching_scales_with_feedback_leaves_every_first_block_no_worse(seed: int, kind: GgufType) -> None:
    linear = draw_linear(seed, num_outputs=8, num_inputs=BLOCK_SIZE, num_tokens=300)
    held_DD = damped(linear.gram_DD.double(), 0.01)
    plain, searched = (
        round_with_feedback(linear.w_FD, linear.gram_DD, kind=kind, should_search_scales=flag) for flag in (False, True)
    )
    # With one block the sweep's own count is the whole error, and the plain grid is among those tried.
    assert bool((rows(linear.w_FD, searched, held_DD) <= rows(linear.w_FD, plain, held_DD) * (1 + 1e-3)).all())


@few
@given(seed=seeds, kind=grids)
def test_with_inputs_that_are_loudest_in_front_both_orders_round_alike(seed: int, kind: GgufType) -> None:
    linear = draw_linear(seed, num_outputs=4, num_inputs=BLOCK_SIZE, num_tokens=200)
    turn_D = linear.gram_DD.diagonal().argsort(descending=True)
    w_FD, gram_DD = linear.w_FD[:, turn_D], linear.gram_DD[turn_D][:, turn_D]
    stored = round_with_feedback(w_FD, gram_DD, kind=kind)
    loudest = round_with_feedback(w_FD, gram_DD, kind=kind, order="loudest_first")
    assert torch.equal(stored.codes, loudest.codes)
    assert torch.equal(stored.scales, loudest.scales)


@few
@given(seed=seeds, kind=grids)
def test_going_by_loudness_lowers_the_output_error_too(seed: int, kind: GgufType) -> None:
    w_FD, gram_DD = draw_wide(seed, outputs=32)
    fed = round_with_feedback(w_FD, gram_DD, kind=kind, order="loudest_first")
    grid = fit_grid(w_FD, gram_DD.diagonal(), kind)
    nearest = grid.tensor(grid.codes(w_FD.view(32, -1, BLOCK_SIZE)))
    assert quadratic_error(w_FD, fed.dequantize(), gram_DD) < quadratic_error(w_FD, nearest.dequantize(), gram_DD)
    assert torch.equal(Grid.of(fed).scales_FB, grid.scales_FB)


@pytest.mark.parametrize("settings", [{"should_search_scales": True, "order": "loudest_first"}])
def test_scales_cannot_be_searched_where_they_are_fitted_before(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs the order"):
        RoundingConfig.model_validate(settings)
