"""A tensor that is already rounded: integer codes and their scales, on the way to a file that holds exactly them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from birdbone.models.gguf.blocks import BLOCK_SIZE, GgufType, encode_blocks, encode_floats, round_q4_0, round_q8_0
from birdbone.models.gguf.errors import EncodingError


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedTensor:
    """Codes and scales of a matrix: weight = `codes * scale of its block of 32`. Shapes: F rows, D columns, G = D/32.

    `codes` is an integer tensor (F, D) within `type.code_range`; `scales` is (F, G), exact in fp16.
    """

    type: GgufType
    codes: Tensor
    scales: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights, (F, D)."""
        return tuple(self.codes.shape)

    def dequantize(self) -> Tensor:
        """Return the fp32 weights (F, D) that the file will hold: what llama.cpp sees."""
        blocks = self.codes.to(torch.float32).reshape(*self.scales.shape, BLOCK_SIZE)
        return (blocks * self.scales.to(torch.float32).unsqueeze(-1)).reshape(self.shape)

    def take_rows(self, order_F: Tensor) -> QuantizedTensor:
        """Return the tensor with its rows in another order; codes and scales move together."""
        return QuantizedTensor(type=self.type, codes=self.codes[order_F], scales=self.scales[order_F])


StateTensor = Tensor | QuantizedTensor


def quantize_tensor(weights_FD: Tensor, kind: GgufType) -> QuantizedTensor:
    """Return plain round-to-nearest codes and scales, the same bytes as ggml's reference quantizer.

    Raises:
        EncodingError: not a matrix, D not a multiple of 32, a value not finite, or `kind` has no blocks.
    """
    if not kind.is_quantized or weights_FD.ndim != 2:
        raise EncodingError(f"Cannot round a tensor of shape {tuple(weights_FD.shape)} to {kind.name}.")
    codes, scales = (round_q4_0 if kind is GgufType.Q4_0 else round_q8_0)(weights_FD)
    return QuantizedTensor(type=kind, codes=codes, scales=scales)


def tensor_bytes(tensor: StateTensor, kind: GgufType) -> memoryview:
    """Return the bytes of `tensor` as the file holds them; `kind` is the float type of a plain tensor."""
    if isinstance(tensor, QuantizedTensor):
        return encode_blocks(tensor.type, codes_FD=tensor.codes, scales_FG=tensor.scales).reshape(-1).data
    return encode_floats(kind, tensor).data
