"""Block formats of GGUF as pure functions. Shapes: F rows, D columns, G = D / 32 blocks of a row.

A weight is `code * scale`, or `code * scale + min` in the formats whose name ends in 1, with an integer code for each
weight and one fp16 scale (and min) for 32 neighbours of a row. The bytes of a block are the scale, the min, then the
codes less the smallest code: the fifth bits of all 32 in four bytes (5-bit formats), then the low four bits, element
in the low half and element `i + 16` in the high half of byte `i`; Q8_0 stores its codes as int8. All little endian.
Source: ggml's `block_q4_0`, `q4_1`, `q5_0`, `q5_1`, `q8_0`; gguf-py's `quants` is the oracle of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdbone.models.gguf.errors import EncodingError

BLOCK_SIZE = 32
_HALF = BLOCK_SIZE // 2

IQ4_NL_VALUES = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
"""What the sixteen codes of `IQ4_NL` stand for, times the block's scale: close near zero, where most weights are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _BlockFormat:
    num_bits: int
    has_min: bool
    values: tuple[int, ...] = ()

    @property
    def num_bytes(self) -> int:
        return (4 if self.has_min else 2) + self.num_bits * BLOCK_SIZE // 8


_BLOCK_FORMATS = {
    "Q4_0": _BlockFormat(num_bits=4, has_min=False),
    "Q4_1": _BlockFormat(num_bits=4, has_min=True),
    "Q5_0": _BlockFormat(num_bits=5, has_min=False),
    "Q5_1": _BlockFormat(num_bits=5, has_min=True),
    "Q8_0": _BlockFormat(num_bits=8, has_min=False),
    "IQ4_NL": _BlockFormat(num_bits=4, has_min=False, values=IQ4_NL_VALUES),
}


# Weights and bytes of a block of the types whose bytes are made whole: `kquants` or ggml itself lays them out.
_PACKED_FORMATS = {
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "IQ2_S": (256, 82),
    "IQ3_XXS": (256, 98),
    "IQ3_S": (256, 110),
    "IQ4_XS": (256, 136),
}


class GgufType(IntEnum):
    """The tensor types that Birdbone writes, with ggml's own numbers."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q4_1 = 3
    Q5_0 = 6
    Q5_1 = 7
    Q8_0 = 8
    Q2_K = 10
    Q3_K = 11
    Q4_K = 12
    Q5_K = 13
    Q6_K = 14
    IQ3_XXS = 18
    IQ4_NL = 20
    IQ3_S = 21
    IQ2_S = 22
    IQ4_XS = 23

    @property
    def is_quantized(self) -> bool:
        """Whether the type stores its weights in blocks."""
        return self.name in _BLOCK_FORMATS or self.is_packed

    @property
    def is_packed(self) -> bool:
        """Whether its blocks have scales of scales or tables (K and IQ types), and so no plain codes."""
        return self.name in _PACKED_FORMATS

    @property
    def block_size(self) -> int:
        """Weights of a block, by which the width of a matrix must divide; 1 for a float type."""
        return _PACKED_FORMATS[self.name][0] if self.is_packed else BLOCK_SIZE if self.is_quantized else 1

    @property
    def block_bytes(self) -> int:
        """Bytes of a block."""
        if self.is_packed:
            return _PACKED_FORMATS[self.name][1]
        if self.is_quantized:
            return _BLOCK_FORMATS[self.name].num_bytes
        return 4 if self is GgufType.F32 else 2

    @property
    def bits_per_weight(self) -> float:
        """Bits of a block over its weights, scales included."""
        return 8 * self.block_bytes / self.block_size

    @property
    def has_min(self) -> bool:
        """Whether a block of codes has a min beside its scale; such a grid need not hold zero."""
        return self.name in _BLOCK_FORMATS and _BLOCK_FORMATS[self.name].has_min

    @property
    def code_range(self) -> tuple[int, int]:
        """Smallest and largest code of a block type; between them every integer but for `IQ4_NL`, see `code_values`."""
        if self.code_values:
            return self.code_values[0], self.code_values[-1]
        num_codes = 1 << _BLOCK_FORMATS[self.name].num_bits
        return (0, num_codes - 1) if self.has_min else (-num_codes // 2, num_codes // 2 - 1)

    @property
    def holds_zero(self) -> bool:
        """Whether code 0 is among the codes of a block and stands for exactly 0."""
        return self.name in _BLOCK_FORMATS and not self.has_min and not self.code_values

    @property
    def code_values(self) -> tuple[int, ...]:
        """The only codes that a type with uneven steps has, in rising order; empty for a type with even steps."""
        return _BLOCK_FORMATS[self.name].values if self.name in _BLOCK_FORMATS else ()


def size_bytes(kind: GgufType, *, num_weights: int) -> int:
    """Return the bytes that `num_weights` weights take in the file, before alignment."""
    return num_weights // kind.block_size * kind.block_bytes


def encode_blocks(
    kind: GgufType, *, codes_FD: Tensor, scales_FG: Tensor, mins_FG: Tensor | None = None
) -> NDArray[np.uint8]:
    """Return the bytes, one row of blocks a row, that hold exactly these codes, scales and mins.

    Args:
        codes_FD: integers within `kind.code_range`, D a multiple of 32.
        scales_FG: finite, exactly representable in fp16; `mins_FG` too, for a type that has mins and for no other.

    Raises:
        EncodingError: a shape, a code, a scale or a min that the format cannot hold.
    """
    codes = _check_codes(codes_FD, kind)
    if kind.has_min is not (mins_FG is not None):
        raise EncodingError(f"{kind.name} blocks have {'a' if kind.has_min else 'no'} min beside the scale.")
    shape = (codes.shape[0], codes.shape[1] // BLOCK_SIZE)
    parts = [_fp16_bytes(part, kind, shape) for part in (scales_FG, mins_FG) if part is not None]
    parts += _pack(codes.reshape(*shape, BLOCK_SIZE), kind)
    return torch.cat(parts, dim=-1).reshape(len(codes), -1).numpy()


def decode_blocks(kind: GgufType, data_FB: NDArray[np.uint8]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the int8 codes (F, D), fp16 scales (F, G) and mins (F, G) or None; the inverse of `encode_blocks`."""
    layout = _BLOCK_FORMATS[kind.name]
    blocks = torch.from_numpy(np.array(data_FB)).reshape(len(data_FB), -1, layout.num_bytes)
    halves = blocks[..., : 4 if layout.has_min else 2].contiguous().view(torch.float16)
    codes = _unpack(blocks[..., 2 * halves.shape[-1] :], kind).reshape(len(data_FB), -1)
    return codes, halves[..., 0], halves[..., 1] if layout.has_min else None


def encode_floats(kind: GgufType, weights: Tensor) -> NDArray[np.uint8]:
    """Return the little-endian F32 or F16 bytes of `weights`, flat.

    Raises:
        EncodingError: a value is not finite, or is too large for fp16.
    """
    target = torch.float32 if kind is GgufType.F32 else torch.float16
    stored = weights.detach().to("cpu", target).contiguous()
    if not bool(torch.isfinite(stored).all()):
        reason = "a value is NaN or infinite" if not _is_finite(weights) else "a value is beyond fp16's 65504"
        raise EncodingError(f"Cannot store a tensor of shape {tuple(weights.shape)} as {kind.name}: {reason}.")
    return stored.numpy().reshape(-1).view(np.uint8)


def round_to_blocks(kind: GgufType, weights_FD: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return codes, scales and mins (or None) of plain round-to-nearest, bit for bit those of ggml's reference.

    Except `IQ4_NL`, for which ggml searches the scale: here the extreme weight gets the lowest code, as in Q4_0.
    Codes are chosen with the fp32 step and stored beside the fp16 step, as ggml does.
    """
    blocks = _blocks(weights_FD)
    if kind is GgufType.Q8_0:
        return _round_by_peak(blocks, weights_FD.shape)
    if kind.code_values:
        return _round_to_values(blocks, weights_FD.shape, kind.code_values)
    low, high = kind.code_range
    lowest = blocks.amin(dim=-1, keepdim=True)
    if kind.has_min:
        step = (blocks.amax(dim=-1, keepdim=True) - lowest) / high
        shifted = torch.trunc((blocks - lowest) * _inverse(step) + 0.5)
        codes = shifted.clamp(0, high).to(torch.int8)
        return codes.reshape(weights_FD.shape), _fp16_scales(step), _fp16_scales(lowest)
    # The value of largest magnitude over the lowest code: that value is always kept to fp16 of its step.
    step = blocks.gather(-1, blocks.abs().argmax(dim=-1, keepdim=True)) / low
    shifted = torch.trunc(blocks.double() * _inverse(step).double() - low + 0.5)
    codes = shifted.clamp(0, high - low).to(torch.int8) + low
    return codes.reshape(weights_FD.shape), _fp16_scales(step), None


def _round_by_peak(blocks: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor, None]:
    """Round as Q8_0 does: the peak at code 127, halves away from zero."""
    step = blocks.abs().amax(dim=-1, keepdim=True) / 127
    scaled = blocks * _inverse(step)
    codes = torch.sign(scaled) * torch.floor(scaled.abs() + 0.5)
    return codes.to(torch.int8).reshape(shape), _fp16_scales(step), None


def _round_to_values(blocks: Tensor, shape: torch.Size, values: tuple[int, ...]) -> tuple[Tensor, Tensor, None]:
    step = blocks.gather(-1, blocks.abs().argmax(dim=-1, keepdim=True)) / values[0]
    codes = nearest_value(blocks * _inverse(step), values)
    return codes.to(torch.int8).reshape(shape), _fp16_scales(step), None


def nearest_value(scaled: Tensor, values: tuple[int, ...]) -> Tensor:
    """Return, in the dtype of `scaled`, the one of the rising `values` that is nearest to each entry."""
    table = scaled.new_tensor(values)
    return table[torch.bucketize(scaled, (table[1:] + table[:-1]) / 2)]


def _inverse(step: Tensor) -> Tensor:
    return torch.where(step == 0, torch.zeros_like(step), 1 / step)


def _blocks(weights_FD: Tensor) -> Tensor:
    num_rows, num_columns = weights_FD.shape
    if num_columns % BLOCK_SIZE:
        raise EncodingError(
            f"A row of {num_columns} weights does not split into blocks of {BLOCK_SIZE}.",
            hint="Keep this tensor in F16, or choose widths that are multiples of 32.",
        )
    weights = weights_FD.detach().to("cpu", torch.float32)
    if not _is_finite(weights):
        raise EncodingError(f"A tensor of shape {(num_rows, num_columns)} has a NaN or infinite weight.")
    return weights.reshape(num_rows, num_columns // BLOCK_SIZE, BLOCK_SIZE)


def _fp16_scales(step: Tensor) -> Tensor:
    scales = step.squeeze(-1).to(torch.float16)
    if not _is_finite(scales):
        raise EncodingError("A block's step is beyond fp16's 65504.", hint="Rescale the layer, or keep it in F32.")
    return scales


def _check_codes(codes_FD: Tensor, kind: GgufType) -> Tensor:
    codes = codes_FD.detach().cpu()
    if codes.ndim != 2 or codes.shape[1] % BLOCK_SIZE:
        raise EncodingError(
            f"{kind.name} wants codes (F, D) with D a multiple of {BLOCK_SIZE}; came {tuple(codes.shape)}."
        )
    low, high = kind.code_range
    is_within = codes.numel() == 0 or (int(codes.min()) >= low and int(codes.max()) <= high)
    if codes.is_floating_point() or not is_within:
        raise EncodingError(f"{kind.name} codes must be integers within {kind.code_range}.")
    if kind.code_values and not bool(torch.isin(codes, torch.tensor(kind.code_values)).all()):
        raise EncodingError(f"{kind.name} codes must be among {kind.code_values}.")
    return codes


def _fp16_bytes(values_FG: Tensor, kind: GgufType, shape: tuple[int, int]) -> Tensor:
    values = values_FG.detach().cpu()
    if values.shape != shape:
        raise EncodingError(f"{kind.name} wants one scale a block, shape {shape}; came {tuple(values.shape)}.")
    stored = values.to(torch.float16)
    if not bool((stored == values).all()) or not _is_finite(stored):
        raise EncodingError(f"{kind.name} scales must be finite fp16 values; round them before the codes are chosen.")
    return stored.contiguous().view(torch.uint8).reshape(*shape, 2)


def _pack(codes_FGK: Tensor, kind: GgufType) -> list[Tensor]:
    if kind is GgufType.Q8_0:
        return [codes_FGK.to(torch.int8).view(torch.uint8)]
    unsigned_FGK = _code_indices(codes_FGK, kind)
    low_FGK = unsigned_FGK & 15
    nibbles_FGH = low_FGK[..., :_HALF] | (low_FGK[..., _HALF:] << 4)
    if _BLOCK_FORMATS[kind.name].num_bits == 4:
        return [nibbles_FGH]
    fifths_FG48 = (unsigned_FGK >> 4).reshape(*unsigned_FGK.shape[:-1], 4, 8)
    return [(fifths_FG48 << torch.arange(8, dtype=torch.uint8)).sum(dim=-1).to(torch.uint8), nibbles_FGH]


def _code_indices(codes_FGK: Tensor, kind: GgufType) -> Tensor:
    """Return how many codes of the type lie below each."""
    if kind.code_values:
        table = torch.tensor(kind.code_values, dtype=torch.int16)
        return torch.searchsorted(table, codes_FGK.to(torch.int16).contiguous()).to(torch.uint8)
    return (codes_FGK.to(torch.int16) - kind.code_range[0]).to(torch.uint8)


def _unpack(payload_FGP: Tensor, kind: GgufType) -> Tensor:
    if kind is GgufType.Q8_0:
        return payload_FGP.contiguous().view(torch.int8)
    nibbles_FGH = payload_FGP[..., -_HALF:]
    unsigned_FGK = torch.cat((nibbles_FGH & 15, nibbles_FGH >> 4), dim=-1)
    if _BLOCK_FORMATS[kind.name].num_bits == 5:
        bits_FGK = (payload_FGP[..., :4, None] >> torch.arange(8, dtype=torch.uint8)) & 1
        unsigned_FGK |= bits_FGK.flatten(-2) << 4
    if kind.code_values:
        return torch.tensor(kind.code_values, dtype=torch.int8)[unsigned_FGK.long()]
    return unsigned_FGK.to(torch.int8) + kind.code_range[0]


def _is_finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values).all())
