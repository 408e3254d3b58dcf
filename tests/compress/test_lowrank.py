"""The truncation is the best there is, and a merge never costs output error."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import draw_linear, law, seeds

from birdbone.compress import LowRankConfig
from birdbone.compress.lowrank import merge_low_rank_scales, truncate
from birdbone.compress.quantize import output_error, refit_scales, round_to_nearest, search_scales
from birdbone.models.gguf import GgufType, QuantizedTensor, quantize_tensor

sizes = st.integers(1, 12)
ranks = st.integers(1, 14)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@law
@given(seed=seeds, rows=sizes, columns=sizes, rank=ranks)
def test_the_error_of_a_truncation_is_the_tail_of_the_spectrum(seed: int, rows: int, columns: int, rank: int) -> None:
    matrix_MN = draw(seed, rows, columns)
    left_MR, right_RN = truncate(matrix_MN, rank=rank)
    error = float((matrix_MN - left_MR @ right_RN).norm())
    tail = float(torch.linalg.svdvals(matrix_MN)[rank:].norm())
    assert error == pytest.approx(tail, rel=1e-3, abs=1e-5)
    assert left_MR.shape == (rows, min(rank, rows, columns))
    assert right_RN.shape == (min(rank, rows, columns), columns)


@law
@given(seed=seeds, rank=st.integers(1, 5))
def test_no_other_factors_of_that_rank_come_closer(seed: int, rank: int) -> None:
    matrix_MN = draw(seed, 7, 6)
    left_MR, right_RN = truncate(matrix_MN, rank=rank)
    error = float((matrix_MN - left_MR @ right_RN).norm())
    for factor_RN in (draw(seed + 1, rank, 6), right_RN + 0.1 * draw(seed + 2, rank, 6)):
        best_MR = torch.linalg.lstsq(factor_RN.T, matrix_MN.T).solution.T
        assert error <= float((matrix_MN - best_MR @ factor_RN).norm()) + 1e-5


def quantized_linear(seed: int) -> tuple[torch.Tensor, QuantizedTensor, torch.Tensor]:
    linear = draw_linear(seed, num_outputs=6, num_inputs=96, num_tokens=200)
    scales_FB = search_scales(linear.w_FD, linear.gram_DD.diagonal())
    return linear.w_FD, round_to_nearest(linear.w_FD, scales_FB), linear.gram_DD


@law
@given(seed=seeds, rank=ranks, damping=st.sampled_from([1e-6, 1e-3, 1.0]))
def test_a_merge_never_raises_the_output_error_and_reports_it_truly(seed: int, rank: int, damping: float) -> None:
    w_FD, quantized, gram_DD = quantized_linear(seed)
    result = merge_low_rank_scales(w_FD, quantized, gram_DD, config=LowRankConfig(rank=rank, damping=damping))
    assert result.error_after <= result.error_before
    assert result.is_merged == (result.error_after < result.error_before)
    assert result.error_before == output_error(w_FD, quantized.dequantize(), gram_DD)
    assert result.error_after == output_error(w_FD, result.quantized.dequantize(), gram_DD)
    assert torch.equal(result.quantized.codes, quantized.codes)
    assert torch.equal(result.quantized.scales, result.quantized.scales.half().float())


@law
@given(seed=seeds)
def test_at_full_rank_a_merge_is_the_refit_of_the_scales(seed: int) -> None:
    w_FD, quantized, gram_DD = quantized_linear(seed)
    result = merge_low_rank_scales(w_FD, quantized, gram_DD, config=LowRankConfig(rank=256, damping=1e-3))
    refitted = refit_scales(w_FD, quantized, gram_DD, damping=1e-3)
    assert result.is_merged
    torch.testing.assert_close(result.quantized.scales, refitted.scales, rtol=2e-3, atol=1e-6)
    assert result.error_after == pytest.approx(output_error(w_FD, refitted.dequantize(), gram_DD), rel=0.01)


@law
@given(seed=seeds)
def test_more_ranks_leave_less_error_on_the_whole(seed: int) -> None:
    w_FD, quantized, gram_DD = quantized_linear(seed)
    errors = [
        merge_low_rank_scales(w_FD, quantized, gram_DD, config=LowRankConfig(rank=rank)).error_after for rank in (1, 3)
    ]
    assert errors[1] <= errors[0] * 1.01


def test_fp16_scales_of_the_plain_rounding_are_taken_too() -> None:
    linear = draw_linear(0, num_inputs=64)
    quantized = quantize_tensor(linear.w_FD, GgufType.Q4_0)
    assert quantized.scales.dtype == torch.float16
    result = merge_low_rank_scales(linear.w_FD, quantized, linear.gram_DD, config=LowRankConfig())
    assert result.is_merged
    assert result.error_after < result.error_before


def test_what_cannot_be_better_comes_back_as_it_was() -> None:
    codes_FD = torch.arange(64, dtype=torch.int8).reshape(1, 64) % 16 - 8
    exact = QuantizedTensor(type=GgufType.Q4_0, codes=codes_FD, scales=torch.tensor([[0.5, -0.25]]))
    empty = QuantizedTensor(type=GgufType.Q4_0, codes=torch.zeros_like(codes_FD), scales=torch.zeros(1, 2))
    gram_DD = draw_linear(0, num_inputs=64).gram_DD
    for quantized in (exact, empty):
        result = merge_low_rank_scales(quantized.dequantize(), quantized, gram_DD, config=LowRankConfig())
        assert not result.is_merged
        assert result.quantized is quantized
        assert result.error_after == result.error_before == 0.0
