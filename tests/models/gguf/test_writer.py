"""Writing a model: same input, same bytes; what is handed in is what lies in the file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from birdbone.models import LoadedModel
from birdbone.models.gguf import (
    CorruptGgufError,
    GgufError,
    GgufReport,
    GgufType,
    QuantizedTensor,
    StateTensor,
    UnknownTensorError,
    decode_blocks,
    quantize_tensor,
    read_gguf_summary,
    read_tensor_bytes,
    write_gguf,
)
from birdbone.models.gguf.names import rotary_pair_order


def _write(path: Path, loaded: LoadedModel, state: Mapping[str, StateTensor], **settings: Any) -> GgufReport:
    return write_gguf(
        path, model_config=loaded.model.config, state_tensors=state, tokenizer=loaded.tokenizer, **settings
    )


def _state(loaded: LoadedModel) -> dict[str, Tensor]:
    return loaded.model.state_dict()


def _rounded(state: Mapping[str, Tensor]) -> dict[str, StateTensor]:
    return {
        name: quantize_tensor(tensor, GgufType.Q4_0 if ".layers." in name else GgufType.Q8_0)
        if tensor.ndim == 2
        else tensor
        for name, tensor in state.items()
    }


def test_the_same_input_gives_the_same_bytes_wherever_it_is_written(tmp_path: Path, tiny_model: LoadedModel) -> None:
    digests = set()
    for name in ("a.gguf", "deep/er/b.gguf"):
        _write(tmp_path / name, tiny_model, _state(tiny_model), name="tiny")
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_every_weight_comes_back_from_the_file(tmp_path: Path, tiny_model: LoadedModel) -> None:
    state, config = _state(tiny_model), tiny_model.model.config
    _write(tmp_path / "m.gguf", tiny_model, state, default_type=GgufType.F32)
    stored = {tensor.name: tensor.data for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    query = state["model.layers.1.self_attn.q_proj.weight"]
    order = rotary_pair_order(len(query), num_heads=config.num_attention_heads)
    np.testing.assert_array_equal(stored["blk.1.attn_q.weight"], query[order].numpy())
    np.testing.assert_array_equal(stored["blk.1.attn_v.weight"], state["model.layers.1.self_attn.v_proj.weight"])
    np.testing.assert_array_equal(stored["token_embd.weight"], state["model.embed_tokens.weight"])
    assert "output.weight" not in stored
    assert len(stored) == len(state) - 1


def test_the_codes_of_a_quantized_query_are_in_the_file_in_rotary_order(
    tmp_path: Path, tiny_model: LoadedModel
) -> None:
    name = "model.layers.0.self_attn.k_proj.weight"
    num_rows, num_columns = _state(tiny_model)[name].shape
    generator = torch.Generator().manual_seed(0)
    mine = QuantizedTensor(
        type=GgufType.Q4_0,
        codes=torch.randint(-8, 8, (num_rows, num_columns), generator=generator, dtype=torch.int8),
        scales=torch.rand(num_rows, num_columns // 32, generator=generator).half(),
    )
    _write(tmp_path / "m.gguf", tiny_model, _state(tiny_model) | {name: mine})
    codes, scales, _ = decode_blocks(GgufType.Q4_0, read_tensor_bytes(tmp_path / "m.gguf", "blk.0.attn_k.weight"))
    order = rotary_pair_order(num_rows, num_heads=tiny_model.model.config.num_key_value_heads)
    assert torch.equal(codes, mine.codes[order])
    assert torch.equal(scales, mine.scales[order])


def test_the_report_counts_what_the_file_holds(tmp_path: Path, tiny_model: LoadedModel) -> None:
    report = _write(tmp_path / "m.gguf", tiny_model, _rounded(_state(tiny_model)))
    summary = read_gguf_summary(tmp_path / "m.gguf")
    assert report.size_bytes == (tmp_path / "m.gguf").stat().st_size == summary.size_bytes
    assert report.num_weights == summary.num_weights == tiny_model.model.num_parameters()
    assert report.bits_per_weight == pytest.approx(summary.bits_per_weight)
    assert report.bytes_read_per_token == sum(tensor.size_bytes for tensor in summary.tensors)
    assert report.num_tensors_by_type["Q4_0"] == 7 * tiny_model.model.config.num_hidden_layers
    assert summary.metadata["general.file_type"] == 2
    assert summary.architecture == "llama"


def test_a_tensor_is_loaded_one_at_a_time_and_twice_at_most(tmp_path: Path, tiny_model: LoadedModel) -> None:
    class Lazy(Mapping[str, StateTensor]):
        def __init__(self, state: Mapping[str, Tensor]) -> None:
            self.state, self.asked = state, dict.fromkeys(state, 0)

        def __getitem__(self, name: str) -> StateTensor:
            self.asked[name] += 1
            return self.state[name].clone()

        def __iter__(self) -> Iterator[str]:
            return iter(self.state)

        def __len__(self) -> int:
            return len(self.state)

    lazy = Lazy(_state(tiny_model))
    _write(tmp_path / "lazy.gguf", tiny_model, lazy)
    _write(tmp_path / "eager.gguf", tiny_model, _state(tiny_model))
    assert (tmp_path / "lazy.gguf").read_bytes() == (tmp_path / "eager.gguf").read_bytes()
    assert max(lazy.asked.values()) == 2


def test_a_failed_export_leaves_the_old_file_and_no_rubbish(tmp_path: Path, tiny_model: LoadedModel) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"old")
    broken = _state(tiny_model) | {"model.norm.weight": torch.full((64,), float("nan"))}
    with pytest.raises(GgufError, match="NaN"):
        _write(path, tiny_model, broken)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]


def test_a_state_dict_that_does_not_fit_is_refused(tmp_path: Path, tiny_model: LoadedModel) -> None:
    state = _state(tiny_model)
    with pytest.raises(UnknownTensorError, match="extra"):
        _write(tmp_path / "m.gguf", tiny_model, state | {"model.extra.weight": torch.zeros(2)})
    with pytest.raises(GgufError, match="vocab_size"):
        _write(tmp_path / "m.gguf", tiny_model, state | {"model.embed_tokens.weight": torch.zeros(7, 64)})
    with pytest.raises(GgufError, match="no embedding"):
        _write(tmp_path / "m.gguf", tiny_model, {name: state[name] for name in state if "embed_tokens" not in name})
    with pytest.raises(GgufError, match="nothing to write"):
        _write(tmp_path / "m.gguf", tiny_model, {"model.norm.weight": torch.ones(64)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 0.999])
def test_a_file_cut_short_is_an_error(tmp_path: Path, tiny_model: LoadedModel, share: float) -> None:
    path = tmp_path / "m.gguf"
    _write(path, tiny_model, _state(tiny_model))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CorruptGgufError):
        read_gguf_summary(path)
