from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from birdbone.models import (
    CorruptCheckpointError,
    LoadedModel,
    ModelError,
    NonFiniteWeightError,
    TokenizerMismatchError,
    TokenizerMissingError,
    UnsupportedArchitectureError,
    load_model,
    require_tokenizer_fits,
    save_model,
)
from birdbone.models.gguf import GgufType, write_gguf

MakeTiny = Callable[..., PreTrainedModel]
TEXTS = ("Call me Ishmael.  12 years ago", "don't  3", "a\n\n b\t1999", "<|im_start|>user", "é ² ³", "")


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder that a test may spoil."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def export_gguf(tiny: LoadedModel, path: Path, *, default_type: GgufType = GgufType.F32) -> Path:
    write_gguf(
        path,
        model_config=tiny.model.config,
        state_tensors=tiny.model.state_dict(),
        tokenizer=tiny.tokenizer,
        default_type=default_type,
        license_name="cc0-1.0",
    )
    return path


def assert_same_weights(one: PreTrainedModel, other: PreTrainedModel) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_folder_loads_in_eval_mode_with_all_that_belongs_to_it(tiny_model_folder: Path) -> None:
    loaded = load_model(str(tiny_model_folder))
    assert not loaded.model.training
    assert loaded.architecture.family == "llama"
    assert loaded.architecture.is_embedding_tied
    assert (loaded.spec, loaded.name, loaded.licence) == (str(tiny_model_folder), tiny_model_folder.name, None)


def test_the_tiny_model_has_learned_something(tiny_model: LoadedModel) -> None:
    tokens = torch.tensor([tiny_model.tokenizer("It was the first time that he had seen the house.")["input_ids"]])
    with torch.no_grad():
        loss = tiny_model.model(tokens, labels=tokens).loss
        shuffled = tokens[:, torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(0))]
        assert loss < tiny_model.model(shuffled, labels=shuffled).loss - 1


def test_the_dtype_asked_for_is_the_dtype_given(tiny_model_folder: Path) -> None:
    loaded = load_model(str(tiny_model_folder), dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}


def test_loading_draws_no_bars_and_keeps_the_settings_of_transformers(
    tiny_model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load_model(str(tiny_model_folder))
    assert capfd.readouterr() == ("", "")


def test_the_licence_is_read_from_the_model_card(folder: Path) -> None:
    (folder / "README.md").write_text("---\ntags: [x]\nlicense: apache-2.0\n---\n\nlicense: not this\n")
    assert load_model(str(folder)).licence == "apache-2.0"


def test_one_odd_safetensors_file_loads_with_the_configuration_beside_it(folder: Path, tiny_model: LoadedModel) -> None:
    (folder / "model.safetensors").rename(folder / "step_100.safetensors")
    loaded = load_model(str(folder / "step_100.safetensors"))
    assert loaded.name == "step_100"
    assert loaded.architecture.is_embedding_tied
    assert_same_weights(loaded.model, tiny_model.model)


def test_a_gguf_loads_as_a_plain_model_with_the_same_weights_and_tokens(
    tiny_model: LoadedModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded = load_model(str(export_gguf(tiny_model, tmp_path / "tiny.gguf")))
    assert capfd.readouterr() == ("", "")
    assert_same_weights(loaded.model, tiny_model.model)
    assert loaded.architecture == tiny_model.architecture
    assert loaded.licence == "cc0-1.0"
    assert not hasattr(loaded.model.config, "quantization_config")
    for text in TEXTS:
        assert loaded.tokenizer(text)["input_ids"] == tiny_model.tokenizer(text)["input_ids"]


def test_a_gguf_can_be_saved_and_loaded_again(tiny_model: LoadedModel, tmp_path: Path) -> None:
    loaded = load_model(str(export_gguf(tiny_model, tmp_path / "tiny.gguf", default_type=GgufType.F16)))
    again = load_model(str(save_model(loaded.model, loaded.tokenizer, tmp_path / "saved")))
    assert_same_weights(loaded.model, again.model)
    assert "quantization_config" not in json.loads((tmp_path / "saved" / "config.json").read_text())


def test_a_gguf_whose_text_splitting_is_unknown_is_refused(tiny_model: LoadedModel, tmp_path: Path) -> None:
    path = export_gguf(tiny_model, tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes().replace(b"smollm", b"smollx"))
    with pytest.raises(TokenizerMismatchError, match="smollx"):
        load_model(str(path))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_gguf_cut_anywhere_is_reported_as_corrupt(share: float, tiny_gguf: Path, tmp_path: Path) -> None:
    whole = tiny_gguf.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CorruptCheckpointError, match=r"cut\.gguf"):
        load_model(str(cut))


@pytest.fixture
def tiny_gguf(tiny_model: LoadedModel, tmp_path: Path) -> Path:
    return export_gguf(tiny_model, tmp_path / "whole.gguf")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_safetensors_cut_anywhere_are_reported_as_corrupt(share: float, tiny_model_folder: Path, folder: Path) -> None:
    whole = (tiny_model_folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CorruptCheckpointError, match="model could not be read"):
        load_model(str(folder))


FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), damage=st.data())
def test_whatever_is_damaged_the_model_loads_or_one_of_our_errors_comes(
    name: str, damage: st.DataObject, tiny_model_folder: Path, folder: Path
) -> None:
    whole = (tiny_model_folder / name).read_bytes()
    for other in FILES:
        shutil.copy(tiny_model_folder / other, folder / other)
    start = damage.draw(st.integers(0, min(len(whole), 3000) - 1))
    (folder / name).write_bytes(whole[:start] + damage.draw(st.binary(max_size=8)) + whole[start + 3 :])
    with contextlib.suppress(ModelError):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "[]"),
        ("tokenizer_config.json", "[]"),
        ("config.json", "[]"),
        ("config.json", "{}"),
        ("config.json", "not json"),
    ],
)
def test_a_file_of_the_right_name_with_wrong_content_is_corrupt(file: str, content: str, folder: Path) -> None:
    (folder / file).write_text(content)
    with pytest.raises(CorruptCheckpointError):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 5}, r"lacks 9 tensors .* the first is model\.layers\.4\."),
        ({"num_hidden_layers": 3}, r"holds 9 tensors .* the first is model\.layers\.3\."),
        ({"vocab_size": 500}, r"embed_tokens\.weight has shape \(512, 64\), the configuration asks for \(500, 64\)"),
        ({"intermediate_size": 192}, r"mlp\.down_proj\.weight has shape \(64, 160\)"),
        ({"tie_word_embeddings": False}, r"lacks 1 tensors .* lm_head\.weight"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_attention_heads": 0}, "could not be read"),
        ({"hidden_act": "nope"}, "nope"),
    ],
)
def test_weights_that_do_not_fit_their_configuration_are_never_filled_up_or_dropped(
    changes: dict[str, Any], message: str, folder: Path
) -> None:
    change_config(folder, **changes)
    with pytest.raises(CorruptCheckpointError, match=message):
        load_model(str(folder))


def test_an_unknown_architecture_is_refused_before_its_weights_are_read(folder: Path) -> None:
    change_config(folder, model_type="mamba")
    (folder / "model.safetensors").write_bytes(b"not read")
    with pytest.raises(UnsupportedArchitectureError, match=r"`mamba`.*llama"):
        load_model(str(folder))


def test_packed_weights_are_refused_by_the_name_of_their_method(folder: Path) -> None:
    change_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(UnsupportedArchitectureError, match="gptq"):
        load_model(str(folder))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_the_name_of_its_tensor(value: float, folder: Path) -> None:
    name = "model.layers.2.mlp.up_proj.weight"
    change_weights(folder, lambda state: state[name].view(-1)[7:9].fill_(value))
    with pytest.raises(NonFiniteWeightError, match=r"layers\.2\.mlp\.up_proj\.weight has 2 of 10240") as caught:
        load_model(str(folder))
    assert caught.value.fields == {"tensor": name, "count": 2}


def test_a_tokenizer_with_more_tokens_than_the_embedding_has_rows_is_refused(
    make_tiny: MakeTiny, tiny_model: LoadedModel, tmp_path: Path
) -> None:
    save_model(make_tiny("llama"), tiny_model.tokenizer, tmp_path / "misfit")
    with pytest.raises(TokenizerMismatchError, match=r"up to 511 .* 96 rows"):
        load_model(str(tmp_path / "misfit"))


def test_a_tokenizer_that_uses_the_last_row_fits(tiny_model: LoadedModel) -> None:
    tokenizer: PreTrainedTokenizerBase = tiny_model.tokenizer
    assert max(tokenizer.get_vocab().values()) == tiny_model.architecture.vocab_size - 1
    require_tokenizer_fits(tokenizer, tiny_model.architecture)
    tokenizer.add_tokens(["<one too many>"])
    with pytest.raises(TokenizerMismatchError, match="one too many"):
        require_tokenizer_fits(tokenizer, tiny_model.architecture)


def test_a_folder_without_a_tokenizer_says_so(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(TokenizerMissingError, match=r"tokenizer\.json"):
        load_model(str(folder))


def test_a_folder_without_a_configuration_says_so(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(CorruptCheckpointError, match=r"no config\.json"):
        load_model(str(folder))
