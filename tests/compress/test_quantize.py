"""Codes and scales fit the format, each part lowers the error that it says it lowers, and bad input is an error."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import DrawnLinear, draw_linear, draw_mask, law, seeds
from torch import Tensor

from birdbone.compress.config import LinearRole, QuantizeFormat, RoundingConfig
from birdbone.compress.errors import BlockWidthError, SingularGramError, WeightRangeError
from birdbone.compress.quantize import (
    Grid,
    fit_grid,
    output_error,
    quantize_linear,
    relative_output_error,
    round_to_grid,
    round_with_feedback,
)
from birdbone.compress.statistics import InputStatistics
from birdbone.models import architecture
from birdbone.models.gguf import (
    BLOCK_SIZE,
    GgufType,
    PackedTensor,
    QuantizedTensor,
    encode_blocks,
    quantize_tensor,
)

num_blocks = st.integers(1, 3)
magnitudes = st.sampled_from([1e-4, 0.03, 1.0, 1e3])
KINDS = ["nearest", "importance", "feedback"]
GRIDS = [GgufType.Q4_0, GgufType.Q4_1, GgufType.Q5_0, GgufType.Q5_1]
grids = st.sampled_from(GRIDS)


def draw_wide(seed: int, *, blocks: int = 2, outputs: int = 4, tokens: int = 200) -> DrawnLinear:
    return draw_linear(seed, num_outputs=outputs, num_inputs=blocks * BLOCK_SIZE, num_tokens=tokens)


def statistics_of(linear: DrawnLinear) -> InputStatistics:
    return InputStatistics(gram_DD=linear.gram_DD, num_tokens=len(linear.x_TD))


def weighted_errors(w_FD: Tensor, quantized: QuantizedTensor, importance_D: Tensor) -> Tensor:
    """Importance-weighted squared error of each block, in double precision."""
    error_FD = (w_FD.double() - quantized.dequantize().double()).square() * importance_D.double()
    return error_FD.reshape(len(w_FD), -1, BLOCK_SIZE).sum(dim=2)


def round_to_fitted_grid(w_FD: Tensor, importance_D: Tensor, kind: GgufType) -> QuantizedTensor:
    return round_to_grid(w_FD, fit_grid(w_FD, importance_D, kind))


def assert_fits_the_format(quantized: QuantizedTensor) -> None:
    low, high = quantized.type.code_range
    assert quantized.codes.dtype == torch.int8
    assert low <= int(quantized.codes.min()) <= int(quantized.codes.max()) <= high
    encode_blocks(quantized.type, codes_FD=quantized.codes, scales_FG=quantized.scales, mins_FG=quantized.mins)


def draw_on_grid(seed: int, kind: GgufType, *, magnitude: float) -> Tensor:
    """Weights on a grid of the type, whose ends are in use in every block, as ggml's own rounding leaves them."""
    generator = torch.Generator().manual_seed(seed)
    low, high = kind.code_range
    codes_FD = torch.randint(low, high + 1, (3, 64), generator=generator)
    codes_FD[:, ::BLOCK_SIZE] = low
    scales_FB, mins_FB = ((magnitude * torch.rand(3, 2, generator=generator).clamp_min(0.1)).half() for _ in range(2))
    if kind.has_min:
        codes_FD[:, 1::BLOCK_SIZE] = high
        return QuantizedTensor(type=kind, codes=codes_FD, scales=scales_FB, mins=-mins_FB).dequantize()
    sign = 1 if seed % 2 else -1
    return QuantizedTensor(type=kind, codes=codes_FD, scales=sign * scales_FB).dequantize()


@law
@given(seed=seeds, blocks=num_blocks, magnitude=magnitudes, kind=grids)
def test_fitted_grids_are_never_worse_than_plain_rounding(
    seed: int, blocks: int, magnitude: float, kind: GgufType
) -> None:
    linear = draw_wide(seed, blocks=blocks)
    w_FD, importance_D = linear.w_FD * magnitude, linear.gram_DD.diagonal()
    ours = round_to_fitted_grid(w_FD, importance_D, kind)
    plain = quantize_tensor(w_FD, kind)
    ours_FB, plain_FB = (weighted_errors(w_FD, quantized, importance_D) for quantized in (ours, plain))
    assert bool((ours_FB <= plain_FB * (1 + 1e-3)).all())
    assert float(ours_FB.sum()) < float(plain_FB.sum())
    assert_fits_the_format(ours)


@law
@given(seed=seeds, magnitude=magnitudes, kind=grids)
def test_what_lies_on_a_grid_already_is_kept_exactly(seed: int, magnitude: float, kind: GgufType) -> None:
    w_FD = draw_on_grid(seed, kind, magnitude=magnitude)
    gram_DD = draw_wide(seed).gram_DD
    for found in (
        round_to_fitted_grid(w_FD, gram_DD.diagonal(), kind),
        round_with_feedback(w_FD, gram_DD, kind=kind),
    ):
        torch.testing.assert_close(found.dequantize(), w_FD, rtol=0, atol=1e-6 * magnitude)


@law
@given(seed=seeds, magnitude=magnitudes, kind=grids)
def test_each_weight_goes_to_its_nearest_grid_point(seed: int, magnitude: float, kind: GgufType) -> None:
    linear = draw_wide(seed)
    w_FD = linear.w_FD * magnitude
    grid = fit_grid(w_FD, linear.gram_DD.diagonal(), kind)
    quantized = round_to_grid(w_FD, grid)
    low, high = kind.code_range
    points_FDG = (
        grid.scales_FB[..., None] * torch.arange(low, high + 1.0) + grid.mins_FB[..., None]
    ).repeat_interleave(BLOCK_SIZE, dim=1)
    least_FD = (w_FD[..., None] - points_FDG).abs().amin(dim=2)
    torch.testing.assert_close((w_FD - quantized.dequantize()).abs(), least_FD, rtol=1e-4, atol=1e-4 * magnitude)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_block_of_zeros_stays_zero(kind: str, grid: GgufType) -> None:
    linear = draw_wide(0)
    linear.w_FD[:, :BLOCK_SIZE] = 0.0
    linear.w_FD[1] = 0.0
    config = RoundingConfig.model_validate({"kind": kind})
    quantized = quantize_linear(linear.w_FD, statistics_of(linear), kind=grid, mask_FD=linear.w_FD != 0, config=config)
    assert_fits_the_format(quantized)
    assert bool((quantized.dequantize()[:, :BLOCK_SIZE] == 0).all())
    assert bool((quantized.dequantize()[1] == 0).all())


@law
@given(seed=seeds, blocks=st.integers(2, 3), tokens=st.integers(20, 300), kind=grids)
def test_feedback_lowers_the_output_error_on_correlated_inputs(
    seed: int, blocks: int, tokens: int, kind: GgufType
) -> None:
    linear = draw_wide(seed, blocks=blocks, outputs=32, tokens=tokens)
    before_FD = linear.w_FD.clone()
    fed = round_with_feedback(linear.w_FD, linear.gram_DD, kind=kind)
    nearest = round_to_fitted_grid(linear.w_FD, linear.gram_DD.diagonal(), kind)
    assert linear.output_error(fed.dequantize()) < linear.output_error(nearest.dequantize())
    assert_fits_the_format(fed)
    assert torch.equal(linear.w_FD, before_FD)


@law
@given(seed=seeds, kind=grids)
def test_without_correlation_feedback_is_plain_rounding(seed: int, kind: GgufType) -> None:
    linear = draw_wide(seed)
    gram_DD = torch.diag(linear.gram_DD.diagonal())
    fed = round_with_feedback(linear.w_FD, gram_DD, kind=kind)
    nearest = round_to_fitted_grid(linear.w_FD, gram_DD.diagonal(), kind)
    assert torch.equal(fed.codes, nearest.codes)
    assert torch.equal(fed.dequantize(), nearest.dequantize())


def naive_feedback(w_FD: Tensor, gram_DD: Tensor, *, damping: float) -> tuple[Tensor, Tensor]:
    """Optimal brain quantization in its plain form: the inverse Hessian is shrunk after each input."""
    w_FD, width = w_FD.double().clone(), len(gram_DD)
    ridge = damping * gram_DD.double().diagonal().mean()
    inverse_DD = torch.linalg.inv(gram_DD.double() + ridge * torch.eye(width))
    codes_FD, scales = torch.zeros_like(w_FD), []
    for column in range(width):
        if column % BLOCK_SIZE == 0:
            span = slice(column, column + BLOCK_SIZE)
            grid = fit_grid(w_FD[:, span].float(), gram_DD.diagonal()[span], GgufType.Q4_0)
            scales.append(grid.scales_FB.double())
        codes_FD[:, column] = (w_FD[:, column] / scales[-1][:, 0]).round().clamp(-8, 7)
        error_F = w_FD[:, column] - codes_FD[:, column] * scales[-1][:, 0]
        w_FD -= torch.outer(error_F, inverse_DD[column] / inverse_DD[column, column])
        inverse_DD -= torch.outer(inverse_DD[:, column], inverse_DD[column]) / inverse_DD[column, column]
    return codes_FD.to(torch.int8), torch.cat(scales, dim=1).float()


@pytest.mark.parametrize("seed", range(3))
def test_feedback_is_the_naive_elimination_column_by_column(seed: int) -> None:
    linear = draw_wide(seed, blocks=2, outputs=8)
    fed = round_with_feedback(linear.w_FD, linear.gram_DD, kind=GgufType.Q4_0, damping=0.01)
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
    for kind_of_file in (GgufType.Q4_0, GgufType.Q5_0, GgufType.Q8_0):
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
    fed = round_with_feedback(linear.w_FD, linear.gram_DD, kind=GgufType.Q4_0, mask_FD=mask_FD)
    nearest = round_to_fitted_grid(linear.w_FD * mask_FD, linear.gram_DD.diagonal(), GgufType.Q4_0)
    assert linear.output_error(fed.dequantize()) < linear.output_error(nearest.dequantize())


def test_weights_of_silent_inputs_are_rounded_plainly() -> None:
    linear = draw_wide(0)
    linear.x_TD[:, 40:] = 0.0
    fed = round_with_feedback(linear.w_FD, linear.gram_DD, kind=GgufType.Q4_0)
    assert_fits_the_format(fed)
    scales_FB = fed.scales.float()
    again = round_to_grid(
        linear.w_FD, Grid(type=GgufType.Q4_0, scales_FB=scales_FB, mins_FB=torch.zeros_like(scales_FB))
    )
    assert torch.equal(fed.codes[:, 40:], again.codes[:, 40:])


@law
@given(seed=seeds, kind=st.sampled_from(KINDS))
def test_where_the_grid_need_not_hold_zero_a_shed_weight_is_a_value_like_any_other(seed: int, kind: str) -> None:
    linear, mask_FD = draw_wide(seed), draw_mask(seed, 4, 64, keep=0.8)
    config = RoundingConfig.model_validate({"kind": kind})
    pruned_FD = linear.w_FD * mask_FD
    masked, plain = (
        quantize_linear(w_FD, statistics_of(linear), kind=GgufType.Q4_1, mask_FD=mask, config=config)
        for w_FD, mask in ((linear.w_FD, mask_FD), (pruned_FD, None))
    )
    assert torch.equal(masked.dequantize(), plain.dequantize())


@law
@given(seed=seeds)
def test_the_output_error_is_that_of_running_the_linear(seed: int) -> None:
    linear = draw_linear(seed)
    approximation_FD = draw_linear(seed + 1).w_FD
    found = output_error(linear.w_FD, approximation_FD, linear.gram_DD)
    assert found == pytest.approx(linear.output_error(approximation_FD), rel=1e-4, abs=1e-6)


@law
@given(seed=seeds)
def test_the_relative_error_is_the_share_of_the_outputs_power(seed: int) -> None:
    linear, approximation_FD = draw_linear(seed), draw_linear(seed + 1).w_FD
    output_TF = linear.x_TD @ linear.w_FD.T
    power = float(output_TF.square().sum() / len(output_TF))
    found = relative_output_error(linear.w_FD, approximation_FD, linear.gram_DD)
    assert found == pytest.approx(linear.output_error(approximation_FD) / power, rel=1e-3)
    assert relative_output_error(linear.w_FD, linear.w_FD, linear.gram_DD) == 0.0
    assert relative_output_error(linear.w_FD, approximation_FD, linear.gram_DD * 0) == 0.0


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
        round_with_feedback(draw_wide(0).w_FD, gram_DD, kind=GgufType.Q4_0)
    assert caught.value.code == "compress.singular_gram"


def test_roles_have_the_names_that_the_models_room_gives_them() -> None:
    assert get_args(LinearRole) == get_args(architecture.LinearRole)


def test_a_format_says_what_each_linear_becomes_and_what_it_is_called() -> None:
    mixed = QuantizeFormat(linears="q4_0", by_role={"up": "q4_1", "down": "q4_1"})
    assert [mixed.type_of(role) for role in ("q", "up", "down")] == ["q4_0", "q4_1", "q4_1"]
    assert (mixed.label, mixed.is_low_bit) == ("q4_0-q4_1", True)
    assert (QuantizeFormat(linears="q8_0").label, QuantizeFormat(linears="q8_0").is_low_bit) == ("q8_0", False)
    assert QuantizeFormat(linears="f16", by_role={"down": "q5_0"}).is_low_bit


@pytest.mark.parametrize("kind", [GgufType.Q3_K, GgufType.Q4_K, GgufType.Q6_K])
def test_types_of_blocks_of_256_are_rounded_by_ggml_with_the_inputs_power(kind: GgufType) -> None:
    linear = draw_linear(0, num_outputs=8, num_inputs=256, num_tokens=400)
    errors = []
    for rounding in ("nearest", "descent"):
        config = RoundingConfig.model_validate({"kind": rounding})
        found = quantize_linear(linear.w_FD, statistics_of(linear), kind=kind, mask_FD=None, config=config)
        assert isinstance(found, PackedTensor)
        assert found.shape == (8, 256)
        errors.append(float(((linear.w_FD - found.dequantize()).square() * linear.gram_DD.diagonal()).sum()))
    assert errors[1] < errors[0]


def test_a_width_that_256_does_not_divide_is_refused_by_its_types() -> None:
    with pytest.raises(BlockWidthError, match="blocks of 256"):
        quantize_linear(
            draw_wide(0).w_FD, statistics_of(draw_wide(0)), kind=GgufType.Q4_K, mask_FD=None, config=RoundingConfig()
        )
