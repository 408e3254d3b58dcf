"""The block formats: laws, with gguf-py as the oracle."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from birdbone.models.gguf import (
    EncodingError,
    GgufType,
    QuantizedTensor,
    decode_blocks,
    encode_blocks,
    quantize_tensor,
)
from birdbone.models.gguf.blocks import encode_floats, size_bytes

ORACLE = {
    kind: gguf.GGMLQuantizationType[kind.name]
    for kind in GgufType
    if kind.name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
}
block_types = st.sampled_from(sorted(ORACLE))
# gguf-py divides by a block's scale: below 1e-37 its quotient overflows, and the codes are whatever a NaN is.
_LEAST = 2.0**-110
_reals = st.just(0.0) | st.floats(_LEAST, 1e4, width=32) | st.floats(-1e4, -_LEAST, width=32)
matrices = hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.sampled_from([32, 64, 96])), elements=_reals)


@st.composite
def coded_tensors(draw: st.DrawFn) -> QuantizedTensor:
    kind = draw(block_types)
    rows, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    low, high = kind.code_range
    codes = draw(hnp.arrays(np.int8, (rows, groups * 32), elements=st.integers(low, high)))
    scale = st.floats(-1000, 1000, width=16)
    scales, mins = (torch.from_numpy(draw(hnp.arrays(np.float16, (rows, groups), elements=scale))) for _ in range(2))
    return QuantizedTensor(type=kind, codes=torch.from_numpy(codes), scales=scales, mins=mins if kind.has_min else None)


def encode(tensor: QuantizedTensor) -> NDArray[np.uint8]:
    return encode_blocks(tensor.type, codes_FD=tensor.codes, scales_FG=tensor.scales, mins_FG=tensor.mins)


@given(coded_tensors())
def test_the_file_holds_exactly_the_codes_scales_and_mins_that_were_handed_in(tensor: QuantizedTensor) -> None:
    data = encode(tensor)
    assert data.nbytes == size_bytes(tensor.type, num_weights=tensor.codes.numel())
    codes, scales, mins = decode_blocks(tensor.type, data)
    assert torch.equal(codes, tensor.codes)
    assert torch.equal(scales.view(torch.int16), tensor.scales.view(torch.int16))
    assert (mins is None) is (tensor.mins is None)
    if mins is not None and tensor.mins is not None:
        assert torch.equal(mins.contiguous().view(torch.int16), tensor.mins.view(torch.int16))


@given(coded_tensors())
def test_gguf_py_reads_code_times_scale_from_our_bytes(tensor: QuantizedTensor) -> None:
    read = gguf.quants.dequantize(encode(tensor), ORACLE[tensor.type])
    np.testing.assert_array_equal(read, tensor.dequantize().numpy())


@given(block_types, matrices)
@settings(max_examples=200)
def test_plain_rounding_gives_the_bytes_of_gguf_py(kind: GgufType, weights: np.ndarray) -> None:
    ours = quantize_tensor(torch.from_numpy(weights), kind)
    np.testing.assert_array_equal(encode(ours), gguf.quants.quantize(weights, ORACLE[kind]))


@given(block_types, hnp.arrays(np.float32, (2, 64), elements=st.floats(-_LEAST, _LEAST, width=32)))
def test_weights_too_small_for_gguf_py_come_back_as_next_to_nothing(kind: GgufType, weights: np.ndarray) -> None:
    tensor = quantize_tensor(torch.from_numpy(weights), kind)
    assert torch.equal(decode_blocks(tensor.type, encode(tensor))[0], tensor.codes)
    assert float(tensor.dequantize().abs().max()) <= _LEAST


@given(block_types, st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_the_error_of_plain_rounding_is_at_most_one_step(kind: GgufType, seed: int) -> None:
    weights = torch.randn(4, 64, generator=torch.Generator().manual_seed(seed))
    rounded = quantize_tensor(weights, kind)
    steps = rounded.scales.float().abs().repeat_interleave(32, dim=1)
    assert bool(((rounded.dequantize() - weights).abs() <= steps * 1.01).all())


@given(coded_tensors(), st.randoms(use_true_random=False))
def test_reordered_rows_carry_their_codes_and_scales(tensor: QuantizedTensor, draw: object) -> None:
    order = torch.arange(tensor.shape[0]).flip(0)
    assert torch.equal(tensor.take_rows(order).dequantize(), tensor.dequantize()[order])


@pytest.mark.parametrize("kind", [GgufType.F32, GgufType.F16])
def test_float_tensors_are_stored_as_they_are(kind: GgufType) -> None:
    weights = torch.tensor([[1.0, -0.5], [0.0, 3.25]])
    stored = encode_floats(kind, weights).view(np.float32 if kind is GgufType.F32 else np.float16)
    np.testing.assert_array_equal(stored, weights.reshape(-1).numpy())
    assert stored.nbytes == size_bytes(kind, num_weights=4)


def test_a_value_that_fp16_cannot_hold_is_an_error_not_an_infinity() -> None:
    with pytest.raises(EncodingError, match="65504"):
        encode_floats(GgufType.F16, torch.tensor([1e6]))
    with pytest.raises(EncodingError, match="NaN"):
        encode_floats(GgufType.F32, torch.tensor([float("nan")]))


def test_codes_and_scales_that_do_not_fit_the_format_are_refused() -> None:
    codes, scales = torch.zeros(2, 32, dtype=torch.int8), torch.ones(2, 1, dtype=torch.float16)
    with pytest.raises(EncodingError, match="within"):
        encode_blocks(GgufType.Q4_0, codes_FD=codes + 8, scales_FG=scales)
    with pytest.raises(EncodingError, match="fp16"):
        encode_blocks(GgufType.Q4_0, codes_FD=codes, scales_FG=torch.full((2, 1), 0.1))
    with pytest.raises(EncodingError, match="one scale a block"):
        encode_blocks(GgufType.Q4_0, codes_FD=codes, scales_FG=scales.T)
    with pytest.raises(EncodingError, match="multiple of 32"):
        encode_blocks(GgufType.Q4_0, codes_FD=codes[:, :31], scales_FG=scales)
    with pytest.raises(EncodingError, match="integers"):
        encode_blocks(GgufType.Q8_0, codes_FD=codes.float(), scales_FG=scales)
    with pytest.raises(EncodingError, match="no min"):
        encode_blocks(GgufType.Q5_0, codes_FD=codes, scales_FG=scales, mins_FG=scales)
    with pytest.raises(EncodingError, match="a min"):
        encode_blocks(GgufType.Q5_1, codes_FD=codes, scales_FG=scales)
    with pytest.raises(EncodingError, match="fp16"):
        encode_blocks(GgufType.Q4_1, codes_FD=codes, scales_FG=scales, mins_FG=torch.full((2, 1), torch.nan))


def test_weights_that_cannot_be_rounded_are_refused() -> None:
    with pytest.raises(EncodingError, match="blocks of 32"):
        quantize_tensor(torch.zeros(2, 48), GgufType.Q4_0)
    with pytest.raises(EncodingError, match="NaN"):
        quantize_tensor(torch.full((1, 32), float("nan")), GgufType.Q8_0)
    with pytest.raises(EncodingError, match="F16"):
        quantize_tensor(torch.zeros(2, 32), GgufType.F16)
