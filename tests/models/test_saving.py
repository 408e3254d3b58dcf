from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import PreTrainedModel

from birdbone.core import digest_file
from birdbone.models import LoadedModel, load_model, save_model
from birdbone.models.families import FAMILIES

MakeTiny = Callable[..., PreTrainedModel]


def digests(folder: Path) -> dict[str, str]:
    return {file.name: digest_file(file) for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("family", FAMILIES)
def test_save_and_load_give_back_every_bit_of_every_family(
    family: str, make_tiny: MakeTiny, tiny_model: LoadedModel, tmp_path: Path
) -> None:
    model = make_tiny(family, vocab_size=512)
    again = load_model(str(save_model(model, tiny_model.tokenizer, tmp_path / family)))
    first, second = model.state_dict(), again.model.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert again.architecture.is_embedding_tied == model.config.tie_word_embeddings


def test_the_same_model_gives_the_same_bytes_wherever_it_is_written(tiny_model: LoadedModel, tmp_path: Path) -> None:
    one = save_model(tiny_model.model, tiny_model.tokenizer, tmp_path / "one")
    other = save_model(tiny_model.model, tiny_model.tokenizer, tmp_path / "elsewhere" / "other")
    assert digests(one) == digests(other)


def test_saving_what_was_loaded_changes_no_byte(tiny_model_folder: Path, tmp_path: Path) -> None:
    loaded = load_model(str(tiny_model_folder))
    assert digests(save_model(loaded.model, loaded.tokenizer, tmp_path / "again")) == digests(tiny_model_folder)


def test_no_file_names_a_path_of_this_machine(tiny_model_folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(tiny_model_folder, tmp_path / "a-folder-of-this-machine")
    loaded = load_model(str(copied))
    for file in save_model(loaded.model, loaded.tokenizer, tmp_path / "saved").iterdir():
        assert b"a-folder-of-this-machine" not in file.read_bytes()


def test_tied_weights_are_stored_once(tiny_model_folder: Path) -> None:
    with safe_open(tiny_model_folder / "model.safetensors", "pt") as stored:
        assert "model.embed_tokens.weight" in stored.keys()  # noqa: SIM118
        assert "lm_head.weight" not in stored.keys()  # noqa: SIM118


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60))
def test_the_tokenizer_that_comes_back_gives_the_same_ids_and_text(
    text: str, tiny_model: LoadedModel, tiny_model_folder: Path
) -> None:
    again = load_model(str(tiny_model_folder)).tokenizer
    ids = tiny_model.tokenizer(text)["input_ids"]
    assert again(text)["input_ids"] == ids
    assert again.decode(ids) == text


def test_special_tokens_and_chat_template_come_back(tiny_model: LoadedModel, tmp_path: Path) -> None:
    tokenizer = tiny_model.tokenizer
    tokenizer.chat_template = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
    again = load_model(str(save_model(tiny_model.model, tokenizer, tmp_path / "chat"))).tokenizer
    assert again.special_tokens_map == tokenizer.special_tokens_map
    chat = [{"role": "user", "content": "hello"}]
    assert again.apply_chat_template(chat, tokenize=False) == "<|im_start|>hello<|im_end|>"


def test_saving_over_an_older_model_replaces_it_and_spares_other_files(tiny_model: LoadedModel, tmp_path: Path) -> None:
    folder = save_model(tiny_model.model, tiny_model.tokenizer, tmp_path / "model")
    (folder / "notes.md").write_text("mine")
    with torch.no_grad():
        tiny_model.model.model.norm.weight.fill_(2.0)
    save_model(tiny_model.model, tiny_model.tokenizer, folder)
    assert load_model(str(folder)).model.model.norm.weight.unique().tolist() == [2.0]
    assert (folder / "notes.md").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_can_not_be_saved_leaves_the_older_model_whole(tiny_model: LoadedModel, tmp_path: Path) -> None:
    folder = save_model(tiny_model.model, tiny_model.tokenizer, tmp_path / "model")
    before = digests(folder)
    tiny_model.model.config.unserialisable = object()
    with pytest.raises(TypeError):
        save_model(tiny_model.model, tiny_model.tokenizer, folder)
    assert digests(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_configuration_says_which_dtype_the_weights_have(tiny_model: LoadedModel, tmp_path: Path) -> None:
    folder = save_model(tiny_model.model.to(torch.float16), tiny_model.tokenizer, tmp_path / "half")
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"
