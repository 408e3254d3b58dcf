"""K and IQ types: ggml's own encoder and ours, both read back by the `gguf` package, and run by llama.cpp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.llamacpp.families import byte_tokenizer
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from birdbone.models.ggml_encoder import encode_tensor, encoder_of, type_for_width
from birdbone.models.gguf import EncodingError, GgufType, PackedTensor, read_gguf_summary, write_gguf
from birdbone.models.gguf.kquants import PURE_KINDS, round_to_kquants
from birdbone.models.llamacpp import open_engine

PACKED = [kind for kind in GgufType if kind.is_packed]
SEARCHED = [*PACKED, GgufType.IQ4_NL]
PURE = [GgufType[name] for name in PURE_KINDS]


def gaussian(num_rows: int, num_columns: int, seed: int = 0) -> Tensor:
    return torch.randn(num_rows, num_columns, generator=torch.Generator().manual_seed(seed))


def decoded(data_FN: Tensor, kind: GgufType) -> Tensor:
    return torch.from_numpy(dequantize(data_FN.numpy(), GGMLQuantizationType(int(kind))).copy())


def weighted_error(found: Tensor, w_FD: Tensor, importance_D: Tensor) -> float:
    return float(((found - w_FD).square() * importance_D).sum() / (w_FD.square() * importance_D).sum())


@pytest.mark.parametrize("kind", GgufType)
def test_each_type_has_the_block_that_gguf_names(kind: GgufType) -> None:
    assert (kind.block_size, kind.block_bytes) == GGML_QUANT_SIZES[GGMLQuantizationType(int(kind))]
    assert GGMLQuantizationType(int(kind)).name == kind.name


@pytest.mark.parametrize("kind", SEARCHED)
def test_ggml_encodes_every_searched_type_and_heeds_what_the_inputs_weigh(kind: GgufType) -> None:
    assert encoder_of(kind) == "ggml"
    w_FD, importance_D = gaussian(24, 512), gaussian(1, 512, seed=1)[0].square()
    plain, weighted = encode_tensor(w_FD, kind), encode_tensor(w_FD, kind, importance_D=importance_D)
    assert plain.shape == tuple(w_FD.shape)
    errors = [weighted_error(tensor.dequantize(), w_FD, importance_D) for tensor in (plain, weighted)]
    assert errors[1] < 0.95 * errors[0]


@pytest.mark.parametrize("kind", SEARCHED)
def test_a_column_that_no_input_reaches_harms_nothing(kind: GgufType) -> None:
    for importance_D in (torch.zeros(256), torch.arange(256) % 2):
        assert torch.isfinite(encode_tensor(gaussian(3, 256), kind, importance_D=importance_D).dequantize()).all()
    assert not encode_tensor(torch.zeros(2, 256), kind).dequantize().any()


@pytest.mark.parametrize("kind", PURE)
def test_without_ggml_the_error_is_that_of_ggml_within_a_tenth(kind: GgufType) -> None:
    w_FD, importance_D = gaussian(24, 512), gaussian(1, 512, seed=1)[0].square()
    for weight_D in (None, importance_D):
        even_D = torch.ones(512) if weight_D is None else weight_D
        ours = weighted_error(decoded(round_to_kquants(kind, w_FD, weight_D), kind), w_FD, even_D)
        theirs = weighted_error(encode_tensor(w_FD, kind, importance_D=weight_D).dequantize(), w_FD, even_D)
        assert ours < 1.1 * theirs


@pytest.mark.parametrize("kind", PURE)
@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.1, 1e3), offset=st.floats(-3, 3), seed=st.integers(0, 10_000), num_zeros=st.integers(0, 256))
def test_our_encoder_stays_within_a_step_whatever_the_weights(
    kind: GgufType, scale: float, offset: float, seed: int, num_zeros: int
) -> None:
    w_FD = (gaussian(2, 256, seed) + offset) * scale
    w_FD[:, :num_zeros] = 0
    error_FD = (decoded(round_to_kquants(kind, w_FD), kind) - w_FD).abs()
    span = w_FD.max().clamp_min(0) - w_FD.min().clamp_max(0)
    steps = {GgufType.Q4_K: 15, GgufType.Q5_K: 31, GgufType.Q6_K: 31, GgufType.IQ4_NL: 8}[kind]
    # A small sub-block beside a large one loses the rounding of its scale too: one part in 63 of the largest step.
    assert float(error_FD.max()) <= 1.6 * float(span) / steps


@pytest.mark.parametrize("kind", PURE)
def test_what_lies_on_a_grid_of_ours_is_found_again(kind: GgufType) -> None:
    once = decoded(round_to_kquants(kind, gaussian(4, 256)), kind)
    again = decoded(round_to_kquants(kind, once), kind)
    assert float((again - once).square().mean()) < 0.1 * float((once - gaussian(4, 256)).square().mean())


@pytest.mark.parametrize(
    ("kind", "width", "expected"),
    [
        (GgufType.Q4_K, 512, GgufType.Q4_K),
        (GgufType.Q4_K, 576, GgufType.Q5_0),
        (GgufType.Q5_K, 576, GgufType.Q5_1),
        (GgufType.Q6_K, 576, GgufType.Q8_0),
        (GgufType.Q2_K, 576, GgufType.IQ4_NL),
        (GgufType.IQ4_XS, 96, GgufType.IQ4_NL),
        (GgufType.Q4_K, 100, GgufType.F16),
        (GgufType.Q4_0, 100, GgufType.F16),
        (GgufType.F32, 100, GgufType.F32),
    ],
)
def test_a_width_that_does_not_divide_gets_the_type_that_llama_cpp_takes(
    kind: GgufType, width: int, expected: GgufType
) -> None:
    assert type_for_width(kind, width) is expected


def test_a_width_that_does_not_divide_is_refused_with_what_to_take_instead() -> None:
    with pytest.raises(EncodingError, match=r"blocks of 256; shape \(2, 96\)") as caught:
        encode_tensor(gaussian(2, 96), GgufType.Q4_K)
    assert "Q5_0" in str(caught.value.hint)
    with pytest.raises(EncodingError, match="NaN or infinite"):
        encode_tensor(torch.full((1, 256), torch.nan), GgufType.Q4_K)
    with pytest.raises(EncodingError, match="256 columns want as many"):
        encode_tensor(gaussian(2, 256), GgufType.Q4_K, importance_D=torch.ones(32))
    with pytest.raises(EncodingError, match="only; without it: Q4_K"):
        round_to_kquants(GgufType.Q2_K, gaussian(2, 256))


def test_llama_cpp_runs_a_file_of_mixed_k_types_as_torch_runs_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 256, "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)).eval()
    kinds = {"q_proj": GgufType.Q4_K, "k_proj": GgufType.Q5_K, "down_proj": GgufType.Q6_K, "up_proj": GgufType.IQ4_NL}
    kinds |= {"gate_proj": GgufType.Q3_K, "o_proj": GgufType.IQ4_XS, "v_proj": GgufType.Q8_0}
    state = model.state_dict()
    rounded = {
        name: encode_tensor(tensor, kinds[name.split(".")[-2]])
        for name, tensor in state.items()
        if name.split(".")[-2] in kinds
    }
    report = write_gguf(
        tmp_path / "m.gguf",
        model_config=model.config,
        state_tensors=state | rounded,
        tokenizer=byte_tokenizer(),
    )
    assert report.num_tensors_by_type["Q4_K"] == 2
    assert {tensor.type for tensor in read_gguf_summary(tmp_path / "m.gguf").tensors} >= {"Q4_K", "Q6_K", "IQ4_XS"}
    model.load_state_dict(state | {name: tensor.dequantize() for name, tensor in rounded.items()})
    ids = torch.randint(3, 256, (32,), generator=torch.Generator().manual_seed(1)).tolist()
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0].numpy()
    with open_engine(tmp_path / "m.gguf", num_ctx=64, num_threads=1) as engine:
        assert np.abs(engine.logits(ids) - expected).mean() < 0.05 * expected.std()


def test_rows_of_packed_tensors_move_whole() -> None:
    tensor = encode_tensor(gaussian(4, 256), GgufType.Q4_K)
    assert isinstance(tensor, PackedTensor)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(tensor.take_rows(order).dequantize(), tensor.dequantize()[order])
