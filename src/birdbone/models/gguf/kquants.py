"""Rounding to Q4_K, Q5_K, Q6_K and IQ4_NL in torch, for machines on which ggml's own encoder is not to be had.

Shapes: F rows, D columns, S super-blocks of 256 of a row (blocks of 32 for IQ4_NL), B sub-blocks, K weights of one.

A K type has two levels: a sub-block's scale (and min) is itself an integer times one fp16 number of its super-block.
Each sub-block tries grids that differ by tenths of a step in the range that they span; the codes under each get the
scale (and min) of weighted least squares, and the grid with the least weighted error is kept.
Source: ggml's `make_qx_quants`, `make_qkx2_quants` and `quantize_row_iq4_nl_impl`; fewer candidates are tried. The
layout of the bytes is that of `gguf.quants`, which is the oracle of the tests.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from birdbone.models.gguf.blocks import IQ4_NL_VALUES, GgufType, nearest_value
from birdbone.models.gguf.errors import EncodingError

_SHIFTS = (0.0, -0.9, -0.6, -0.3, 0.3, 0.6, 0.9)


def round_to_kquants(kind: GgufType, weights_FD: Tensor, importance_D: Tensor | None = None) -> Tensor:
    """Return the bytes (F, N), as uint8, of the weights on the grid of one of `PURE_KINDS`.

    Args:
        weights_FD: finite; D a multiple of `kind.block_size`. Not changed.
        importance_D: mean square of each input, or None to go by the weights alone.

    Raises:
        EncodingError: a type that only ggml itself encodes, or a scale beyond fp16.
    """
    if kind not in _ENCODERS:
        raise EncodingError(f"{kind.name} is encoded by ggml itself only; without it: {', '.join(PURE_KINDS)}.")
    w_FSK = weights_FD.detach().cpu().float().reshape(len(weights_FD), -1, kind.block_size)
    weight_FSK = _error_weights(w_FSK, importance_D)
    return _ENCODERS[kind](w_FSK, weight_FSK).flatten(1)


def _error_weights(w_FSK: Tensor, importance_D: Tensor | None) -> Tensor:
    """Return what the squared error of each weight counts: more for large weights, as in ggml."""
    power_FS1 = w_FSK.square().mean(dim=-1, keepdim=True)
    if importance_D is None:
        return power_FS1.sqrt() + w_FSK.abs() + 1e-30
    importance_SK = importance_D.float().clamp_min(1e-12).reshape(w_FSK.shape[1:])
    return importance_SK * (2 * power_FS1 + w_FSK.square()).sqrt() + 1e-30


def _encode_q4_k(w_FSK: Tensor, weight_FSK: Tensor) -> Tensor:
    codes_FSBK, head = _with_mins(w_FSK, weight_FSK, highest=15)
    return torch.cat((*head, _nibbles(codes_FSBK)), dim=-1)


def _encode_q5_k(w_FSK: Tensor, weight_FSK: Tensor) -> Tensor:
    codes_FSBK, head = _with_mins(w_FSK, weight_FSK, highest=31)
    fifths_FSK = _bits_together(codes_FSBK >> 4, step=1)
    return torch.cat((*head, fifths_FSK, _nibbles(codes_FSBK & 15)), dim=-1)


def _encode_q6_k(w_FSK: Tensor, weight_FSK: Tensor) -> Tensor:
    w_FSBK, weight_FSBK = (_split(tensor, 16, 16) for tensor in (w_FSK, weight_FSK))
    scale_FSB = _fit_symmetric(w_FSBK, weight_FSBK, lowest=-32)
    extreme_FS1 = scale_FSB.gather(-1, scale_FSB.abs().argmax(dim=-1, keepdim=True))
    unit_FS1 = _fp16(extreme_FS1 / -128)
    small_FSB = _divided(scale_FSB, unit_FS1).round().clamp(-128, 127)
    codes = _divided(w_FSBK, (unit_FS1 * small_FSB)[..., None]).round().clamp(-32, 31) + 32
    codes_FSK = codes.to(torch.uint8).flatten(-2)
    low = _split(codes_FSK & 15, 2, 2, 2, 32)  # halves, nibbles, runs of 32
    ql_FSK = (low[..., 0, :, :] | (low[..., 1, :, :] << 4)).flatten(-3)
    qh_FSK = _bits_together(_split(codes_FSK >> 4, 2, 4, 32), step=2).flatten(-2)
    scales_FSB = small_FSB.to(torch.int8).view(torch.uint8)
    return torch.cat((ql_FSK, qh_FSK, scales_FSB, _fp16_bytes(unit_FS1)), dim=-1)


def _encode_iq4_nl(w_FSK: Tensor, weight_FSK: Tensor) -> Tensor:
    extreme_FS1 = w_FSK.gather(-1, w_FSK.abs().argmax(dim=-1, keepdim=True))
    best, least = torch.zeros_like(extreme_FS1), torch.full_like(extreme_FS1, torch.inf)
    for shift in range(-7, 8):
        start_FS1 = extreme_FS1 / (IQ4_NL_VALUES[0] + shift)
        near_FSK = nearest_value(_divided(w_FSK, start_FS1), IQ4_NL_VALUES)
        scale_FS1 = _fp16(_slope(w_FSK, near_FSK, weight_FSK))
        again_FSK = nearest_value(_divided(w_FSK, scale_FS1), IQ4_NL_VALUES)
        error_FS1 = _error(w_FSK, again_FSK * scale_FS1, weight_FSK)
        best = torch.where(error_FS1 < least, scale_FS1, best)
        least = torch.minimum(error_FS1, least)
    near_FSK = nearest_value(_divided(w_FSK, best), IQ4_NL_VALUES)
    codes_FSK = torch.searchsorted(torch.tensor(IQ4_NL_VALUES).float(), near_FSK.contiguous()).to(torch.uint8)
    return torch.cat((_fp16_bytes(best), codes_FSK[..., :16] | (codes_FSK[..., 16:] << 4)), dim=-1)


def _with_mins(w_FSK: Tensor, weight_FSK: Tensor, *, highest: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the codes of 8 sub-blocks of 32, and the bytes before them: scale, min and the 16 small integers."""
    w_FSBK, weight_FSBK = (_split(tensor, 8, 32) for tensor in (w_FSK, weight_FSK))
    scale_FSB, depth_FSB = _fit_with_min(w_FSBK, weight_FSBK, highest=highest)
    unit_FS1, depth_unit_FS1 = (_fp16(tensor.amax(dim=-1, keepdim=True) / 63) for tensor in (scale_FSB, depth_FSB))
    small_FSB = _divided(scale_FSB, unit_FS1).round().clamp(0, 63)
    deep_FSB = _divided(depth_FSB, depth_unit_FS1).round().clamp(0, 63)
    shifted_FSBK = w_FSBK + (depth_unit_FS1 * deep_FSB)[..., None]
    codes_FSBK = _divided(shifted_FSBK, (unit_FS1 * small_FSB)[..., None]).round().clamp(0, highest)
    head = (_fp16_bytes(unit_FS1), _fp16_bytes(depth_unit_FS1), _six_bits(small_FSB, deep_FSB))
    return codes_FSBK.to(torch.uint8), head


def _fit_with_min(w_FSBK: Tensor, weight_FSBK: Tensor, *, highest: int) -> tuple[Tensor, Tensor]:
    """Return the scale of each sub-block and how far below zero its grid begins, both at least 0."""
    lowest = w_FSBK.amin(dim=-1, keepdim=True).clamp_max(0)
    span = w_FSBK.amax(dim=-1, keepdim=True) - lowest
    total = weight_FSBK.sum(dim=-1, keepdim=True)
    mean_w = (weight_FSBK * w_FSBK).sum(dim=-1, keepdim=True) / total
    best, depth, least = torch.zeros_like(span), torch.zeros_like(span), torch.full_like(span, torch.inf)
    for shift in _SHIFTS:
        codes = _divided(w_FSBK - lowest, span / (highest + shift)).round().clamp(0, highest)
        mean_code = (weight_FSBK * codes).sum(dim=-1, keepdim=True) / total
        scale = _slope(w_FSBK - mean_w, codes - mean_code, weight_FSBK).clamp_min(0)
        below = (mean_w - scale * mean_code).clamp_max(0)
        scale = torch.where(below == 0, _slope(w_FSBK, codes, weight_FSBK).clamp_min(0), scale)
        again = _divided(w_FSBK - below, scale).round().clamp(0, highest)
        error = _error(w_FSBK, again * scale + below, weight_FSBK)
        best, depth = torch.where(error < least, scale, best), torch.where(error < least, -below, depth)
        least = torch.minimum(error, least)
    return best[..., 0], depth[..., 0]


def _fit_symmetric(w_FSBK: Tensor, weight_FSBK: Tensor, *, lowest: int) -> Tensor:
    """Return the scale of each sub-block of a grid without min; it may be negative."""
    extreme = w_FSBK.gather(-1, w_FSBK.abs().argmax(dim=-1, keepdim=True))
    best, least = torch.zeros_like(extreme), torch.full_like(extreme, torch.inf)
    for shift in _SHIFTS:
        codes = _divided(w_FSBK, extreme / (lowest + shift)).round().clamp(lowest, -lowest - 1)
        scale = _slope(w_FSBK, codes, weight_FSBK)
        again = _divided(w_FSBK, scale).round().clamp(lowest, -lowest - 1)
        error = _error(w_FSBK, again * scale, weight_FSBK)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return best[..., 0]


def _split(tensor: Tensor, *sizes: int) -> Tensor:
    """Return the tensor with its last dimension as several."""
    return tensor.reshape(*tensor.shape[:-1], *sizes)


def _slope(w: Tensor, codes: Tensor, weight: Tensor) -> Tensor:
    """Return the scale on which these codes come closest to the weights."""
    power = (weight * codes.square()).sum(dim=-1, keepdim=True)
    return _divided((weight * codes * w).sum(dim=-1, keepdim=True), power)


def _error(w: Tensor, rounded: Tensor, weight: Tensor) -> Tensor:
    return ((rounded - w).square() * weight).sum(dim=-1, keepdim=True)


def _divided(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient, 0 where the denominator is 0."""
    return torch.where(denominator == 0, 0.0, numerator / torch.where(denominator == 0, 1.0, denominator))


def _six_bits(small_FSB: Tensor, deep_FSB: Tensor) -> Tensor:
    """Return 8 scales and 8 mins of 6 bits in 12 bytes: the upper two bits of the last four ride on the first four."""
    small, deep = small_FSB.to(torch.uint8), deep_FSB.to(torch.uint8)
    first = [part[..., :4] | ((part[..., 4:] >> 4) << 6) for part in (small, deep)]
    return torch.cat((*first, (small[..., 4:] & 15) | ((deep[..., 4:] & 15) << 4)), dim=-1)


def _nibbles(codes_FSBK: Tensor) -> Tensor:
    """Return sub-blocks in pairs, the first in the low halves of the bytes."""
    pairs = _split(codes_FSBK.flatten(-2), 4, 2, 32)
    return (pairs[..., 0, :] | (pairs[..., 1, :] << 4)).flatten(-2)


def _bits_together(parts: Tensor, *, step: int) -> Tensor:
    """Return one byte of `step` bits from each part; parts in the last dimension but one, the first lowest."""
    shifts = torch.arange(0, 8, step, dtype=torch.uint8)[:, None]
    return (parts << shifts).sum(dim=-2).to(torch.uint8)


def _fp16(values: Tensor) -> Tensor:
    rounded = values.half().float()
    if not bool(torch.isfinite(rounded).all()):
        raise EncodingError("A block's step is beyond fp16's 65504.", hint="Rescale the layer, or keep it in F32.")
    return rounded


def _fp16_bytes(values: Tensor) -> Tensor:
    return values.half().contiguous().view(torch.uint8)


_ENCODERS: dict[GgufType, Callable[[Tensor, Tensor], Tensor]] = {
    GgufType.Q4_K: _encode_q4_k,
    GgufType.Q5_K: _encode_q5_k,
    GgufType.Q6_K: _encode_q6_k,
    GgufType.IQ4_NL: _encode_iq4_nl,
}
PURE_KINDS = tuple(kind.name for kind in _ENCODERS)
"""Types that need no library, by name."""
