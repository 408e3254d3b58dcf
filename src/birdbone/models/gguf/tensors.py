"""A tensor that is already rounded: integer codes, scales and mins, on the way to a file that holds exactly them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from torch import Tensor

from birdbone.models.gguf.blocks import BLOCK_SIZE, GgufType, encode_blocks, encode_floats, round_to_blocks
from birdbone.models.gguf.errors import EncodingError


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedTensor:
    """A matrix as codes: weight = `code * scale + min` of its block of 32. Shapes: F rows, D columns, G = D / 32.

    `codes` is an integer tensor (F, D) within `type.code_range`; `scales` and `mins` are (F, G), exact in fp16. A type
    without mins has None there, which means 0.
    """

    type: GgufType
    codes: Tensor
    scales: Tensor
    mins: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights, (F, D)."""
        return tuple(self.codes.shape)

    def dequantize(self) -> Tensor:
        """Return the fp32 weights (F, D) that the file will hold: what llama.cpp sees."""
        blocks = self.codes.to(torch.float32).reshape(*self.scales.shape, BLOCK_SIZE)
        weights = blocks * self.scales.to(torch.float32).unsqueeze(-1)
        if self.mins is not None:
            weights = weights + self.mins.to(torch.float32).unsqueeze(-1)
        return weights.reshape(self.shape)

    def take_rows(self, order_F: Tensor) -> QuantizedTensor:
        """Return the tensor with its rows in another order; codes, scales and mins move together."""
        mins = None if self.mins is None else self.mins[order_F]
        return QuantizedTensor(type=self.type, codes=self.codes[order_F], scales=self.scales[order_F], mins=mins)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedTensor:
    """A matrix as the bytes of a K or IQ type, whole. Shapes: F rows, D columns, N bytes a row.

    `data_FN` is uint8. What the bytes mean is ggml's affair; `dequantize` asks the `gguf` package.
    """

    type: GgufType
    data_FN: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights, (F, D)."""
        num_rows, num_bytes = self.data_FN.shape
        return num_rows, num_bytes // self.type.block_bytes * self.type.block_size

    def dequantize(self) -> Tensor:
        """Return the fp32 weights (F, D) that the file will hold: what llama.cpp sees."""
        weights_FD = dequantize(self.data_FN.numpy(), GGMLQuantizationType(int(self.type)))
        return torch.from_numpy(np.ascontiguousarray(weights_FD, dtype=np.float32))

    def take_rows(self, order_F: Tensor) -> PackedTensor:
        """Return the tensor with its rows in another order."""
        return PackedTensor(type=self.type, data_FN=self.data_FN[order_F])


RoundedTensor = QuantizedTensor | PackedTensor
StateTensor = Tensor | RoundedTensor


def quantize_tensor(weights_FD: Tensor, kind: GgufType) -> QuantizedTensor:
    """Return plain round-to-nearest codes, scales and mins, the same bytes as ggml's reference quantizer.

    Raises:
        EncodingError: not a matrix, D not a multiple of 32, a value not finite, or `kind` has no plain codes
            (`birdbone.models.ggml_encoder` makes the others).
    """
    if not kind.is_quantized or kind.is_packed or weights_FD.ndim != 2:
        raise EncodingError(f"Cannot round a tensor of shape {tuple(weights_FD.shape)} to {kind.name}.")
    codes, scales, mins = round_to_blocks(kind, weights_FD)
    return QuantizedTensor(type=kind, codes=codes, scales=scales, mins=mins)


def tensor_bytes(tensor: StateTensor, kind: GgufType) -> memoryview:
    """Return the bytes of `tensor` as the file holds them; `kind` is the float type of a plain tensor."""
    if isinstance(tensor, QuantizedTensor):
        data = encode_blocks(tensor.type, codes_FD=tensor.codes, scales_FG=tensor.scales, mins_FG=tensor.mins)
        return data.reshape(-1).data
    if isinstance(tensor, PackedTensor):
        return tensor.data_FN.contiguous().numpy().reshape(-1).data
    return encode_floats(kind, tensor).data
