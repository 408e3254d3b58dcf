"""NormalFloat: sixteen values at quantiles of the normal distribution, times a scale for a block of weights.

Shapes: F rows, D columns, K weights a block, G blocks, S blocks whose scales share a scale, P = F D / 2 bytes.

Zero is one of the values, so a weight that was pruned is zero again. Two codes share a byte. The scales themselves may
be held in 8 bits: 0.127 bits a weight in place of 0.5 for blocks of 64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

NF4_VALUES = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
"""What the codes 0 to 15 stand for."""

_SCALES_A_GROUP = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleCodes:
    """Scales in 8 bits: `code * step + mean`, a step for 256 of them. They never come back below zero."""

    codes_G: Tensor
    steps_S: Tensor
    mean: float

    def values(self) -> Float[Tensor, " G"]:
        """Return the scales that the codes stand for."""
        steps_G = self.steps_S.repeat_interleave(_SCALES_A_GROUP)[: len(self.codes_G)]
        return (self.codes_G.float() * steps_G + self.mean).clamp_min(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nf4Tensor:
    """A matrix as codes of NormalFloat; blocks run along its rows, from one into the next."""

    shape: tuple[int, int]
    block_size: int
    packed_P: UInt8[Tensor, " P"]
    scales: Tensor | ScaleCodes

    @property
    def bits_per_weight(self) -> float:
        """Bits of codes and scales over the weights."""
        if isinstance(self.scales, ScaleCodes):
            scale_bits = 8 * len(self.scales.codes_G) + 32 * (len(self.scales.steps_S) + 1)
        else:
            scale_bits = 32 * len(self.scales)
        return (8 * len(self.packed_P) + scale_bits) / (self.shape[0] * self.shape[1])

    def dequantize(self) -> Float[Tensor, "F D"]:
        """Return the weights that the codes stand for."""
        table = torch.tensor(NF4_VALUES)
        values = torch.stack((table[(self.packed_P >> 4).long()], table[(self.packed_P & 15).long()]), dim=1)
        scales_G = self.scales.values() if isinstance(self.scales, ScaleCodes) else self.scales
        weights_GK = values.view(-1, self.block_size) * scales_G[:, None]
        return weights_GK.flatten()[: self.shape[0] * self.shape[1]].view(self.shape)


def quantize_nf4(w_FD: Float[Tensor, "F D"], *, block_size: int = 64, should_quantize_scales: bool = True) -> Nf4Tensor:
    """Return the nearest NormalFloat code of each weight, with the block's largest magnitude as its scale.

    Args:
        w_FD: finite, any float dtype. Not changed.
        block_size: K, even.

    Source: Dettmers et al. 2023 (QLoRA), arXiv:2305.14314, sec. 3 and app. E. Symbols: c2 = the scales. Differs: the
    8-bit scales lie on an even grid around their mean, not on a float one.
    """
    num_weights = w_FD.numel()
    padding = -num_weights % block_size
    w_GK = torch.cat((w_FD.float().flatten(), w_FD.new_zeros(padding, dtype=torch.float32))).view(-1, block_size)
    scales_G = w_GK.abs().amax(dim=1)
    scales = _quantize_scales(scales_G) if should_quantize_scales else scales_G
    used_G = scales.values() if isinstance(scales, ScaleCodes) else scales
    inverse_G = torch.where(used_G == 0, 0.0, 1.0 / used_G)
    codes = _nearest(w_GK * inverse_G[:, None]).flatten()
    return Nf4Tensor(
        shape=(w_FD.shape[0], w_FD.shape[1]),
        block_size=block_size,
        packed_P=(codes[0::2] << 4) | codes[1::2],
        scales=scales,
    )


def _nearest(values: Tensor) -> Tensor:
    table = torch.tensor(NF4_VALUES)
    return torch.bucketize(values, (table[1:] + table[:-1]) / 2).to(torch.uint8)


def _quantize_scales(scales_G: Tensor) -> ScaleCodes:
    mean = float(scales_G.mean())
    padding = -len(scales_G) % _SCALES_A_GROUP
    centred = torch.cat((scales_G - mean, scales_G.new_zeros(padding))).view(-1, _SCALES_A_GROUP)
    steps_S = centred.abs().amax(dim=1) / 127
    codes = (centred / steps_S.clamp_min(1e-30)[:, None]).round().clamp(-127, 127).to(torch.int8)
    return ScaleCodes(codes_G=codes.flatten()[: len(scales_G)], steps_S=steps_S, mean=mean)
