"""What the step `quantize` stores of tensors is what later steps take out again, whatever their types."""

from __future__ import annotations

import pytest
import torch

from birdbone.models.ggml_encoder import encode_tensor
from birdbone.models.gguf import GgufType, PackedTensor, QuantizedTensor
from birdbone.pipeline.steps.quantize import flatten, plain_tensors, unflatten

KINDS = [GgufType.Q4_0, GgufType.Q4_1, GgufType.IQ4_NL, GgufType.Q4_K, GgufType.Q6_K, GgufType.Q8_0]


@pytest.mark.parametrize("kind", KINDS)
def test_codes_or_bytes_come_back_as_they_were(kind: GgufType) -> None:
    w_FD = torch.randn(4, 256, generator=torch.Generator().manual_seed(0))
    rounded = encode_tensor(w_FD, kind)
    norm = torch.ones(3)
    stored = flatten({"model.layers.0.up.weight": rounded}) | {"model.norm.weight": norm}
    assert all(isinstance(tensor, torch.Tensor) for tensor in stored.values())
    found = unflatten(stored)
    assert list(found) == ["model.layers.0.up.weight"]
    again = found["model.layers.0.up.weight"]
    assert isinstance(again, QuantizedTensor | PackedTensor)
    assert again.type is kind
    assert torch.equal(again.dequantize(), rounded.dequantize())
    assert list(plain_tensors(stored)) == ["model.norm.weight"]
