"""Codes and scales fit the format, each part lowers the error that it says it lowers, and bad input is an error."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import DrawnLinear, draw_linear, draw_mask, law, seeds
from torch import Tensor

from birdbone.compress.config import RoundingConfig
from birdbone.compress.errors import BlockWidthError, SingularGramError, WeightRangeError
from birdbone.compress.quantize import (
    BLOCK_SIZE,
    output_error,
    q4_0,
    quantize_linear,
    refit_scales,
    round_to_nearest,
    round_with_feedback,
    search_scales,
)
from birdbone.compress.statistics import InputStatistics
from birdbone.models.gguf import GgufType, QuantizedTensor, quantize_tensor
from birdbone.models.gguf.blocks import encode_q4_0

num_blocks = st.integers(1, 3)
magnitudes = st.sampled_from([1e-4, 0.03, 1.0, 1e3])
KINDS = ["nearest", "importance", "feedback"]


def draw_wide(seed: int, *, blocks: int = 2, outputs: int = 4, tokens: int = 200) -> DrawnLinear:
    return draw_linear(seed, num_outputs=outputs, num_inputs=blocks * BLOCK_SIZE, num_tokens=tokens)


def statistics_of(linear: DrawnLinear) -> InputStatistics:
    return InputStatistics(gram_DD=linear.gram_DD, num_tokens=len(linear.x_TD))


def weighted_errors(w_FD: Tensor, quantized: QuantizedTensor, importance_D: Tensor) -> Tensor:
    """Importance-weighted squared error of each block, in double precision."""
    error_FD = (w_FD.double() - quantized.dequantize().double()).square() * importance_D.double()
    return error_FD.reshape(len(w_FD), -1, BLOCK_SIZE).sum(dim=2)


def assert_fits_the_format(quantized: QuantizedTensor) -> None:
    assert quantized.type is GgufType.Q4_0
    assert quantized.codes.dtype == torch.int8
    assert -8 <= int(quantized.codes.min()) <= int(quantized.codes.max()) <= 7
    assert bool(quantized.scales.isfinite().all())
    assert torch.equal(quantized.scales, quantized.scales.half().float())
    encode_q4_0(quantized.codes, quantized.scales)


@law
@given(seed=seeds, blocks=num_blocks, magnitude=magnitudes)
def test_searched_scales_are_never_worse_than_plain_rounding(seed: int, blocks: int, magnitude: float) -> None:
    linear = draw_wide(seed, blocks=blocks)
    w_FD, importance_D = linear.w_FD * magnitude, linear.gram_DD.diagonal()
    ours = round_to_nearest(w_FD, search_scales(w_FD, importance_D))
    plain = quantize_tensor(w_FD, GgufType.Q4_0)
    ours_FB, plain_FB = (weighted_errors(w_FD, quantized, importance_D) for quantized in (ours, plain))
    assert bool((ours_FB <= plain_FB * (1 + 1e-4)).all())
    assert float(ours_FB.sum()) < float(plain_FB.sum())
    assert_fits_the_format(ours)


@law
@given(seed=seeds, magnitude=magnitudes, sign=st.sampled_from([-1, 1]))
def test_what_lies_on_a_grid_already_is_kept_exactly(seed: int, magnitude: float, sign: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes_FD = torch.randint(-8, 8, (3, 64), generator=generator)
    codes_FD[:, ::BLOCK_SIZE] = -8  # as ggml's own rounding leaves in every block
    scales_FB = (sign * magnitude * torch.rand(3, 2, generator=generator).clamp_min(0.1)).half().float()
    w_FD = QuantizedTensor(type=GgufType.Q4_0, codes=codes_FD, scales=scales_FB).dequantize()
    found = round_to_nearest(w_FD, search_scales(w_FD, torch.rand(64, generator=generator)))
    assert torch.equal(found.dequantize(), w_FD)


@law
@given(seed=seeds, magnitude=magnitudes)
def test_each_weight_goes_to_its_nearest_grid_point(seed: int, magnitude: float) -> None:
    linear = draw_wide(seed)
    w_FD = linear.w_FD * magnitude
    scales_FB = search_scales(w_FD, linear.gram_DD.diagonal())
    quantized = round_to_nearest(w_FD, scales_FB)
    step_FD = scales_FB.abs().repeat_interleave(BLOCK_SIZE, dim=1)
    error_FD = (w_FD - quantized.dequantize()).abs()
    is_clipped_FD = (quantized.codes == -8) | (quantized.codes == 7)
    assert bool((error_FD <= step_FD / 2 * (1 + 1e-4))[~is_clipped_FD].all())
    grid_FDG = scales_FB.repeat_interleave(BLOCK_SIZE, dim=1)[..., None] * torch.arange(-8.0, 8.0)
    least_FD = (w_FD[..., None] - grid_FDG).abs().amin(dim=2)
    torch.testing.assert_close(error_FD, least_FD, rtol=1e-4, atol=1e-4 * magnitude)


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_of_zeros_stays_zero(kind: str) -> None:
    linear = draw_wide(0)
    linear.w_FD[:, :BLOCK_SIZE] = 0.0
    linear.w_FD[1] = 0.0
    config = RoundingConfig.model_validate({"kind": kind})
    quantized = quantize_linear(
        linear.w_FD, statistics_of(linear), kind=GgufType.Q4_0, mask_FD=linear.w_FD != 0, config=config
    )
    assert_fits_the_format(quantized)
    assert bool((quantized.dequantize()[:, :BLOCK_SIZE] == 0).all())
    assert bool((quantized.dequantize()[1] == 0).all())


@law
@given(seed=seeds, blocks=st.integers(2, 3), tokens=st.integers(20, 300))
def test_feedback_lowers_the_output_error_on_correlated_inputs(seed: int, blocks: int, tokens: int) -> None:
    linear = draw_wide(seed, blocks=blocks, outputs=32, tokens=tokens)
    before_FD = linear.w_FD.clone()
    fed = round_with_feedback(linear.w_FD, linear.gram_DD)
    nearest = round_to_nearest(linear.w_FD, search_scales(linear.w_FD, linear.gram_DD.diagonal()))
    assert linear.output_error(fed.dequantize()) < linear.output_error(nearest.dequantize())
    assert_fits_the_format(fed)
    assert torch.equal(linear.w_FD, before_FD)


@law
@given(seed=seeds)
def test_without_correlation_feedback_is_plain_rounding(seed: int) -> None:
    linear = draw_wide(seed)
    gram_DD = torch.diag(linear.gram_DD.diagonal())
    fed = round_with_feedback(linear.w_FD, gram_DD)
    nearest = round_to_nearest(linear.w_FD, search_scales(linear.w_FD, gram_DD.diagonal()))
    assert torch.equal(fed.codes, nearest.codes)
    assert torch.equal(fed.scales, nearest.scales)


def naive_feedback(w_FD: Tensor, gram_DD: Tensor, *, damping: float) -> tuple[Tensor, Tensor]:
    """Optimal brain quantization in its plain form: the inverse Hessian is shrunk after each input."""
    w_FD, width = w_FD.double().clone(), len(gram_DD)
    ridge = damping * gram_DD.double().diagonal().mean()
    inverse_DD = torch.linalg.inv(gram_DD.double() + ridge * torch.eye(width))
    codes_FD, scales = torch.zeros_like(w_FD), []
    for column in range(width):
        if column % BLOCK_SIZE == 0:
            span = slice(column, column + BLOCK_SIZE)
            scales.append(search_scales(w_FD[:, span].float(), gram_DD.diagonal()[span]).double())
        codes_FD[:, column] = (w_FD[:, column] / scales[-1][:, 0]).round().clamp(-8, 7)
        error_F = w_FD[:, column] - codes_FD[:, column] * scales[-1][:, 0]
        w_FD -= torch.outer(error_F, inverse_DD[column] / inverse_DD[column, column])
        inverse_DD -= torch.outer(inverse_DD[:, column], inverse_DD[column]) / inverse_DD[column, column]
    return codes_FD.to(torch.int8), torch.cat(scales, dim=1).float()


@pytest.mark.parametrize("seed", range(3))
def test_feedback_is_the_naive_elimination_column_by_column(seed: int) -> None:
    linear = draw_wide(seed, blocks=2, outputs=8)
    fed = round_with_feedback(linear.w_FD, linear.gram_DD, damping=0.01)
    codes_FD, scales_FB = naive_feedback(linear.w_FD, linear.gram_DD, damping=0.01)
    torch.testing.assert_close(fed.scales, scales_FB, rtol=1e-3, atol=0)
    # A weight half-way between two codes may fall to either side in single precision.
    assert float((fed.codes == codes_FD).float().mean()) > 0.99


@law
@given(seed=seeds, keep=st.floats(0, 1), kind=st.sampled_from(KINDS))
def test_a_weight_that_is_shed_gets_code_zero(seed: int, keep: float, kind: str) -> None:
    linear = draw_wide(seed)
    before_FD, mask_FD = linear.w_FD.clone(), draw_mask(seed, 4, 64, keep=keep)
    config = RoundingConfig.model_validate({"kind": kind})
    for kind_of_file in (GgufType.Q4_0, GgufType.Q8_0):
        quantized = quantize_linear(
            linear.w_FD, statistics_of(linear), kind=kind_of_file, mask_FD=mask_FD, config=config
        )
        assert quantized.type is kind_of_file
        assert bool((quantized.codes[~mask_FD] == 0).all())
    assert torch.equal(linear.w_FD, before_FD)


@law
@given(seed=seeds)
def test_feedback_makes_up_for_what_is_shed(seed: int) -> None:
    linear = draw_wide(seed, outputs=32)
    mask_FD = draw_mask(seed, 32, 64, keep=0.8)
    fed = round_with_feedback(linear.w_FD, linear.gram_DD, mask_FD=mask_FD)
    masked_FD = linear.w_FD * mask_FD
    nearest = round_to_nearest(masked_FD, search_scales(masked_FD, linear.gram_DD.diagonal()))
    assert linear.output_error(fed.dequantize()) < linear.output_error(nearest.dequantize())


def test_weights_of_silent_inputs_are_rounded_plainly() -> None:
    linear = draw_wide(0)
    linear.x_TD[:, 40:] = 0.0
    fed = round_with_feedback(linear.w_FD, linear.gram_DD)
    assert_fits_the_format(fed)
    again = round_to_nearest(linear.w_FD, fed.scales)
    assert torch.equal(fed.codes[:, 40:], again.codes[:, 40:])


@law
@given(seed=seeds, kind=st.sampled_from(KINDS), damping=st.sampled_from([1e-6, 1e-3, 0.1]))
def test_refitted_scales_never_raise_the_output_error(seed: int, kind: str, damping: float) -> None:
    linear = draw_wide(seed)
    config = RoundingConfig.model_validate({"kind": kind})
    quantized = quantize_linear(linear.w_FD, statistics_of(linear), kind=GgufType.Q4_0, mask_FD=None, config=config)
    refitted = refit_scales(linear.w_FD, quantized, linear.gram_DD, damping=damping)
    assert torch.equal(refitted.codes, quantized.codes)
    assert_fits_the_format(refitted)
    # Storing a scale in fp16 moves the output by up to 2**-11 of itself.
    slack = 2**-22 * linear.output_error(torch.zeros_like(linear.w_FD)) * quantized.scales.shape[1] ** 2
    before, after = (linear.output_error(version.dequantize()) for version in (quantized, refitted))
    assert after <= before * (1 + 1e-4) + slack


def test_refitted_scales_are_the_least_squares_solution() -> None:
    linear = draw_wide(3, blocks=3)
    quantized = round_to_nearest(linear.w_FD, search_scales(linear.w_FD, linear.gram_DD.diagonal()))
    refitted = refit_scales(linear.w_FD, quantized, linear.gram_DD, damping=1e-6)
    for row, codes_D in enumerate(quantized.codes.double()):
        parts_TB = torch.stack(
            [linear.x_TD[:, span].double() @ codes_D[span] for span in (slice(i, i + 32) for i in (0, 32, 64))], dim=1
        )
        best_B = torch.linalg.lstsq(parts_TB, linear.x_TD.double() @ linear.w_FD[row].double()).solution
        torch.testing.assert_close(refitted.scales[row].double(), best_B, rtol=2e-3, atol=1e-5)


def test_rows_taken_some_at_a_time_get_the_same_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = draw_wide(0, outputs=7)
    quantized = quantize_tensor(linear.w_FD, GgufType.Q4_0)
    whole = refit_scales(linear.w_FD, quantized, linear.gram_DD)
    monkeypatch.setattr(q4_0, "_MAX_PRODUCT_ELEMENTS", 3 * 64 * 2)
    torch.testing.assert_close(refit_scales(linear.w_FD, quantized, linear.gram_DD).scales, whole.scales)


@law
@given(seed=seeds)
def test_the_output_error_is_that_of_running_the_linear(seed: int) -> None:
    linear = draw_linear(seed)
    approximation_FD = draw_linear(seed + 1).w_FD
    found = output_error(linear.w_FD, approximation_FD, linear.gram_DD)
    assert found == pytest.approx(linear.output_error(approximation_FD), rel=1e-4, abs=1e-6)


def test_q8_0_and_the_nearest_rounding_are_the_plain_rounding_of_the_format() -> None:
    linear = draw_wide(0)
    for kind, rounding in ((GgufType.Q8_0, "feedback"), (GgufType.Q4_0, "nearest")):
        config = RoundingConfig.model_validate({"kind": rounding})
        found = quantize_linear(linear.w_FD, statistics_of(linear), kind=kind, mask_FD=None, config=config)
        plain = quantize_tensor(linear.w_FD, kind)
        assert torch.equal(found.codes, plain.codes)
        assert torch.equal(found.scales, plain.scales)


@pytest.mark.parametrize("width", [1, 31, 33, 48])
@pytest.mark.parametrize("kind", KINDS)
def test_a_width_that_does_not_divide_into_blocks_is_an_error(width: int, kind: str) -> None:
    linear = draw_linear(0, num_inputs=width)
    config = RoundingConfig.model_validate({"kind": kind})
    with pytest.raises(BlockWidthError, match=str(width)):
        quantize_linear(linear.w_FD, statistics_of(linear), kind=GgufType.Q4_0, mask_FD=None, config=config)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e6])
@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_that_the_format_cannot_hold_is_an_error(value: float, kind: str) -> None:
    linear = draw_wide(0)
    linear.w_FD[2, 5] = value
    config = RoundingConfig.model_validate({"kind": kind})
    with pytest.raises(WeightRangeError):
        quantize_linear(linear.w_FD, statistics_of(linear), kind=GgufType.Q4_0, mask_FD=None, config=config)


@pytest.mark.parametrize(
    "gram_DD",
    [-torch.eye(64), torch.full((64, 64), math.nan), torch.eye(64) - 2 * torch.ones(64, 64) / 8],
    ids=["negative", "not a number", "indefinite"],
)
def test_a_matrix_that_is_no_gram_matrix_is_an_error(gram_DD: Tensor) -> None:
    with pytest.raises(SingularGramError) as caught:
        round_with_feedback(draw_wide(0).w_FD, gram_DD)
    assert caught.value.code == "compress.singular_gram"
