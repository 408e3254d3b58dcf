"""NormalFloat: zeros stay zeros, errors stay under half a step, and the bytes are as few as is said."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import draw_mask, law, seeds

from birdbone.compress.healing.nf4 import NF4_VALUES, ScaleCodes, quantize_nf4

_HALF_GAP = max(high - low for low, high in pairwise(NF4_VALUES)) / 2


def draw_weights(seed: int, rows: int, columns: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@law
@given(seed=seeds, rows=st.integers(1, 9), columns=st.integers(1, 70), block=st.sampled_from([2, 16, 64]))
def test_zeros_stay_zero_whatever_holds_the_scales(seed: int, rows: int, columns: int, block: int) -> None:
    mask_FD = draw_mask(seed, rows, columns)
    w_FD = draw_weights(seed, rows, columns) * mask_FD
    for should_quantize_scales in (False, True):
        held = quantize_nf4(w_FD, block_size=block, should_quantize_scales=should_quantize_scales)
        assert held.dequantize().shape == w_FD.shape
        assert bool((held.dequantize()[~mask_FD] == 0).all())


@law
@given(seed=seeds, rows=st.integers(1, 9), columns=st.integers(1, 70))
def test_an_error_is_at_most_half_the_widest_gap_of_its_block(seed: int, rows: int, columns: int) -> None:
    w_FD = draw_weights(seed, rows, columns)
    held = quantize_nf4(w_FD, block_size=32, should_quantize_scales=False)
    error = (held.dequantize() - w_FD).abs().flatten()
    scale = held.scales.repeat_interleave(32)[: w_FD.numel()]  # type: ignore[union-attr]
    assert bool((error <= _HALF_GAP * scale * (1 + 1e-6)).all())
    again = quantize_nf4(held.dequantize(), block_size=32, should_quantize_scales=False)
    assert torch.equal(again.dequantize(), held.dequantize())


def test_weights_of_a_normal_law_use_all_codes_about_alike() -> None:
    held = quantize_nf4(draw_weights(0, 256, 1024))
    codes = torch.cat((held.packed_P >> 4, held.packed_P & 15)).long()
    shares = codes.bincount(minlength=16) / len(codes)
    assert float(shares.min()) > 0.01
    assert float(shares.max()) < 0.12


@pytest.mark.parametrize(("should_quantize_scales", "bits"), [(False, 4.5), (True, 4.127)])
def test_bits_a_weight_count_the_scales(should_quantize_scales: bool, bits: float) -> None:
    held = quantize_nf4(draw_weights(1, 128, 512), should_quantize_scales=should_quantize_scales)
    assert held.bits_per_weight == pytest.approx(bits, abs=0.001)


def test_scales_in_8_bits_are_close_and_never_negative() -> None:
    w_FD = draw_weights(2, 64, 512) * torch.logspace(-6, 3, 64)[:, None]
    plain, coded = (quantize_nf4(w_FD, should_quantize_scales=flag).scales for flag in (False, True))
    assert isinstance(coded, ScaleCodes)
    assert float(coded.values().min()) >= 0
    step_G = coded.steps_S.repeat_interleave(256)[: len(coded.codes_G)]
    assert bool(((coded.values() - plain).abs() <= 0.5 * step_G + 1e-6).all())  # type: ignore[operator]


def test_a_block_of_zeros_is_zeros() -> None:
    assert torch.equal(quantize_nf4(torch.zeros(3, 5)).dequantize(), torch.zeros(3, 5))
