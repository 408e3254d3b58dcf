"""Block formats of GGUF as pure functions. Shapes: F rows, D columns, G = D / 32 blocks of a row.

A weight is `code * scale`, with a signed integer code and one fp16 scale for 32 neighbours of a row. The bytes of a
block are the scale (2 bytes, little endian), then the codes: Q4_0 stores `code + 8` in 4 bits, element `i` in the low
half and element `i + 16` in the high half of byte `i`; Q8_0 stores the codes as int8.
Source: ggml's `block_q4_0` and `block_q8_0`; gguf-py's `quants` is the oracle of the tests.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdbone.models.gguf.errors import EncodingError

BLOCK_SIZE = 32
_HALF = BLOCK_SIZE // 2
_CODE_RANGE = {"Q4_0": (-8, 7), "Q8_0": (-128, 127)}


class GgufType(IntEnum):
    """The tensor types that Birdbone writes, with ggml's own numbers."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q8_0 = 8

    @property
    def is_quantized(self) -> bool:
        """Whether the type stores codes and scales in blocks of 32."""
        return self.name in _CODE_RANGE

    @property
    def code_range(self) -> tuple[int, int]:
        """Smallest and largest code of a block type."""
        return _CODE_RANGE[self.name]


_BYTES_PER_BLOCK = {GgufType.F32: 4, GgufType.F16: 2, GgufType.Q4_0: 18, GgufType.Q8_0: 34}


def size_bytes(kind: GgufType, *, num_weights: int) -> int:
    """Return the bytes that `num_weights` weights take in the file, before alignment."""
    weights_per_block = BLOCK_SIZE if kind.is_quantized else 1
    return num_weights // weights_per_block * _BYTES_PER_BLOCK[kind]


def encode_q4_0(codes_FD: Tensor, scales_FG: Tensor) -> NDArray[np.uint8]:
    """Return the Q4_0 bytes, shape (F, G * 18), that hold exactly these codes and scales.

    Args:
        codes_FD: integers within -8..7, D a multiple of 32.
        scales_FG: finite, exactly representable in fp16.

    Raises:
        EncodingError: a shape, a code or a scale that the format cannot hold.
    """
    codes, scales = _check_blocks(codes_FD, scales_FG, GgufType.Q4_0)
    unsigned_FG2H = (codes + 8).to(torch.uint8).reshape(*scales.shape, 2, _HALF)
    packed_FGH = unsigned_FG2H[..., 0, :] | (unsigned_FG2H[..., 1, :] << 4)
    return _join_blocks(scales, packed_FGH)


def encode_q8_0(codes_FD: Tensor, scales_FG: Tensor) -> NDArray[np.uint8]:
    """Return the Q8_0 bytes, shape (F, G * 34), that hold exactly these codes (-128..127) and fp16 scales."""
    codes, scales = _check_blocks(codes_FD, scales_FG, GgufType.Q8_0)
    return _join_blocks(scales, codes.to(torch.int8).view(torch.uint8).reshape(*scales.shape, BLOCK_SIZE))


def decode_q4_0(data_FB: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Return the int8 codes (F, D) and fp16 scales (F, G) that Q4_0 bytes hold; the inverse of `encode_q4_0`."""
    scales, packed_FGH = _split_blocks(data_FB, GgufType.Q4_0)
    unsigned = torch.stack((packed_FGH & 15, packed_FGH >> 4), dim=-2)
    return (unsigned.to(torch.int8) - 8).reshape(scales.shape[0], -1), scales


def decode_q8_0(data_FB: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Return the int8 codes (F, D) and fp16 scales (F, G) that Q8_0 bytes hold; the inverse of `encode_q8_0`."""
    scales, raw = _split_blocks(data_FB, GgufType.Q8_0)
    return raw.contiguous().view(torch.int8).reshape(scales.shape[0], -1), scales


def encode_blocks(kind: GgufType, *, codes_FD: Tensor, scales_FG: Tensor) -> NDArray[np.uint8]:
    """Return the bytes of a block type (Q4_0 or Q8_0)."""
    return (encode_q4_0 if kind is GgufType.Q4_0 else encode_q8_0)(codes_FD, scales_FG)


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


def round_q4_0(weights_FD: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes and scales of plain round-to-nearest Q4_0, bit for bit those of ggml's reference.

    The step is the value of largest magnitude over -8, so that value is always kept to fp16 of its step. Codes are
    chosen with the fp32 step and stored beside the fp16 step, as ggml does.
    """
    blocks = _blocks(weights_FD)
    peak = blocks.gather(-1, blocks.abs().argmax(dim=-1, keepdim=True))
    step = peak / -8
    inverse = torch.where(step == 0, torch.zeros_like(step), 1 / step)
    shifted = torch.trunc(blocks.double() * inverse.double() + 8.5)
    codes = shifted.clamp(0, 15).to(torch.int8) - 8
    return codes.reshape(weights_FD.shape), _fp16_scales(step)


def round_q8_0(weights_FD: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes and scales of plain round-to-nearest Q8_0 (halves away from zero), as ggml's reference."""
    blocks = _blocks(weights_FD)
    step = blocks.abs().amax(dim=-1, keepdim=True) / 127
    inverse = torch.where(step == 0, torch.zeros_like(step), 1 / step)
    scaled = blocks * inverse
    codes = torch.sign(scaled) * torch.floor(scaled.abs() + 0.5)
    return codes.to(torch.int8).reshape(weights_FD.shape), _fp16_scales(step)


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


def _check_blocks(codes_FD: Tensor, scales_FG: Tensor, kind: GgufType) -> tuple[Tensor, Tensor]:
    codes, scales = codes_FD.detach().cpu(), scales_FG.detach().cpu()
    if codes.ndim != 2 or scales.shape != (codes.shape[0], codes.shape[1] // BLOCK_SIZE) or codes.shape[1] % BLOCK_SIZE:
        raise EncodingError(
            f"{kind.name} wants codes (F, D) with D a multiple of {BLOCK_SIZE} and scales (F, D/{BLOCK_SIZE}); "
            f"came {tuple(codes.shape)} and {tuple(scales.shape)}."
        )
    if codes.is_floating_point() or not _within(codes, *kind.code_range):
        raise EncodingError(f"{kind.name} codes must be integers within {kind.code_range}.")
    stored = scales.to(torch.float16)
    if not bool((stored == scales).all()) or not _is_finite(stored):
        raise EncodingError(f"{kind.name} scales must be finite fp16 values; round them before the codes are chosen.")
    return codes, stored


def _within(codes: Tensor, low: int, high: int) -> bool:
    return codes.numel() == 0 or (int(codes.min()) >= low and int(codes.max()) <= high)


def _is_finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values).all())


def _join_blocks(scales_FG: Tensor, payload_FGP: Tensor) -> NDArray[np.uint8]:
    head = scales_FG.contiguous().view(torch.uint8).reshape(*scales_FG.shape, 2)
    return torch.cat((head, payload_FGP), dim=-1).reshape(scales_FG.shape[0], -1).numpy()


def _split_blocks(data_FB: NDArray[np.uint8], kind: GgufType) -> tuple[Tensor, Tensor]:
    blocks = torch.from_numpy(np.array(data_FB)).reshape(data_FB.shape[0], -1, _BYTES_PER_BLOCK[kind])
    scales = blocks[..., :2].contiguous().view(torch.float16).squeeze(-1)
    return scales, blocks[..., 2:]
