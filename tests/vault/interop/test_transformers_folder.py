"""An exported folder has what `transformers` opens first, says what it is, or was refused with what is missing."""

import hashlib
import json

import pytest
from blake3 import blake3

from birdbone.vault import commit, put_folder
from birdbone.vault.errors import CorruptObjectError, DestinationNotEmptyError, NotLoadableError
from birdbone.vault.interop import ExportRecord, export_folder

from ..checkpoints import content_of, float32, safetensors_bytes
from .sources import MODEL, WEIGHTS, flipped, write_files

CONFIG = b'{"model_type": "llama"}'
SHARDS = {
    "model-00001-of-00002.safetensors": safetensors_bytes({"a": float32(1.0)}),
    "model-00002-of-00002.safetensors": safetensors_bytes({"b": float32(2.0)}),
}
WEIGHT_MAP = dict(zip("ab", SHARDS, strict=True))


def index(weight_map):
    return json.dumps({"metadata": {"total_size": 8}, "weight_map": weight_map}).encode()


@pytest.fixture
def kept(vault, tmp_path):
    def keep(files):
        artefact = put_folder(vault, write_files(tmp_path / "source", files), kind="model")
        return commit(vault, artefact, ref="main", message="kept", author="ada")

    return keep


def test_the_folder_is_the_checkout_and_a_record_with_the_digests_of_each_file(vault, tmp_path, kept):
    version = kept(MODEL)
    record = export_folder(vault, "main", tmp_path / "out")
    found = content_of(tmp_path / "out")
    assert ExportRecord.model_validate_json(found.pop("birdbone.json")) == record
    assert found == MODEL
    assert (record.version, record.artefact, record.message) == (version.id, version.artefact, "kept")
    assert {(file.path, file.size_bytes, file.sha256, file.blake3) for file in record.files} == {
        (path, len(content), hashlib.sha256(content).hexdigest(), f"b3:{blake3(content).hexdigest()}")
        for path, content in MODEL.items()
    }


def test_the_same_version_gives_the_same_folder_and_an_artefact_has_no_version(vault, tmp_path, kept):
    version = kept(MODEL)
    export_folder(vault, "main", tmp_path / "one")
    export_folder(vault, version.id, tmp_path / "two")
    assert content_of(tmp_path / "one") == content_of(tmp_path / "two")
    assert export_folder(vault, version.artefact, tmp_path / "three").version is None


def test_weights_of_another_name_get_the_name_that_is_looked_for(vault, tmp_path, kept):
    kept({"config.json": CONFIG, "wave-3.safetensors": WEIGHTS, "files/note.txt": b""})
    record = export_folder(vault, "main", tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == WEIGHTS
    assert {file.path: file.stored_as for file in record.files if file.path != file.stored_as} == {
        "model.safetensors": "wave-3.safetensors"
    }


def test_shards_with_their_index_are_whole(vault, tmp_path, kept):
    kept({"config.json": CONFIG, "model.safetensors.index.json": index(WEIGHT_MAP), **SHARDS})
    assert len(export_folder(vault, "main", tmp_path / "out").files) == 4


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({"model.safetensors": WEIGHTS}, ["config.json"]),
        ({"config.json": CONFIG}, ["model.safetensors"]),
        ({"pytorch_model.bin": b"pickle"}, ["config.json", "model.safetensors"]),
        ({"config.json": CONFIG, "sub/model.safetensors": WEIGHTS}, ["model.safetensors"]),
        ({"config.json": CONFIG, **SHARDS}, ["model.safetensors.index.json"]),
        ({"config.json": b"{}", "model.safetensors": WEIGHTS}, ["model_type"]),
        (
            {"config.json": CONFIG, "model.safetensors.index.json": index({**WEIGHT_MAP, "c": "../c.safetensors"})}
            | SHARDS,
            ["../c.safetensors"],
        ),
        (
            {"config.json": CONFIG, "model.safetensors.index.json": index(WEIGHT_MAP)}
            | dict.fromkeys(SHARDS, SHARDS["model-00001-of-00002.safetensors"]),
            ["b"],
        ),
        ({"config.json": CONFIG, "model.safetensors.index.json": b"{}", **SHARDS}, ["weight_map"]),
    ],
    ids=["config", "weights", "both", "weights lie deeper", "index", "model type", "shard", "tensor", "weight map"],
)
def test_what_is_missing_is_said_and_nothing_is_written(vault, tmp_path, kept, files, missing):
    kept(files)
    with pytest.raises(NotLoadableError, match="transformers cannot load main") as caught:
        export_folder(vault, "main", tmp_path / "out")
    assert caught.value.fields["missing"] == missing
    assert missing[0] in caught.value.message
    assert caught.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "store"]


@pytest.mark.parametrize("config", [b"", b"[]", b"\xff", b'{"model_type": 7}'], ids=repr)
def test_a_configuration_that_is_none_is_refused(vault, tmp_path, kept, config):
    kept({"config.json": config, "model.safetensors": WEIGHTS})
    with pytest.raises(NotLoadableError, match=r"config\.json"):
        export_folder(vault, "main", tmp_path / "out")


def test_a_file_that_has_the_record_s_name_is_not_overwritten(vault, tmp_path, kept):
    kept({**MODEL, "birdbone.json": b"{}"})
    with pytest.raises(NotLoadableError, match=r"birdbone\.json of its own"):
        export_folder(vault, "main", tmp_path / "out")


def test_an_export_overwrites_nothing_and_writes_nothing_from_a_damaged_store(vault, tmp_path, kept):
    kept(MODEL)
    with pytest.raises(DestinationNotEmptyError):
        export_folder(vault, "main", tmp_path / "source")
    (pack,) = vault.packs.iterdir()
    pack.write_bytes(pack.read_bytes().replace(MODEL["config.json"], flipped(MODEL["config.json"])))
    with pytest.raises(CorruptObjectError):
        export_folder(vault, "main", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "store"]
