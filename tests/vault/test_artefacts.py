"""What is put comes back byte for byte, is stored once, and is never handed out damaged."""

import datetime as dt
import errno
import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.core import digest_json
from birdbone.core.errors import DiskFullError
from birdbone.core.files import raise_if_disk_full
from birdbone.vault import (
    BadNameError,
    BadSafetensorsError,
    CorruptObjectError,
    DestinationNotEmptyError,
    MissingObjectError,
    SourceChangedError,
    TruncatedSafetensorsError,
    UnknownNameError,
    UnsupportedFileError,
    checkout,
    commit,
    open_vault,
    put_file,
    put_folder,
    read_manifest,
    verify,
)
from birdbone.vault.folder import explain_write_errors
from birdbone.vault.store.batches import BlobBatch, Content, Extent, Source
from birdbone.vault.store.packs import read_index

from .checkpoints import checkpoints, content_of, float32, object_files, safetensors_bytes, write_model


@settings(max_examples=30, deadline=None)
@given(
    checkpoints(),
    st.dictionaries(st.sampled_from(["config.json", "a/b.bin", "a/c", ".hidden"]), st.binary(max_size=99)),
)
def test_checkout_gives_back_the_very_bytes_that_were_put(checkpoint, others):
    with tempfile.TemporaryDirectory() as name:
        source, vault = Path(name, "source"), open_vault(Path(name, "store"))
        files = {"model.safetensors": checkpoint, **others}
        for path, content in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes(content)
        artefact = put_folder(vault, source, kind="model")
        assert content_of(checkout(vault, artefact, Path(name, "out"))) == files
        assert put_folder(vault, Path(name, "out"), kind="model") == artefact


@settings(max_examples=25, deadline=None)
@given(checkpoints(), st.data())
def test_any_flipped_bit_in_the_store_is_found_before_it_is_used(checkpoint, data):
    with tempfile.TemporaryDirectory() as name:
        source, vault = Path(name, "model.safetensors"), open_vault(Path(name, "store"))
        source.write_bytes(checkpoint)
        artefact = put_file(vault, source, kind="model")
        commit(vault, artefact, ref="main", message="first")
        victim = data.draw(st.sampled_from([path for path in object_files(vault) if path.stat().st_size]))
        flip_bit(victim, data.draw(st.integers(0, 8 * victim.stat().st_size - 1)))
        assert not verify(vault).is_sound
        try:
            found = content_of(checkout(vault, "main", Path(name, "out")))
        except CorruptObjectError:
            assert sorted(path.name for path in Path(name).iterdir()) == ["model.safetensors", "store"]
        else:  # the flip is in bytes that this checkout does not need
            assert found == {"model.safetensors": checkpoint}
            assert victim.suffix == ".pack"


def test_a_tensor_that_did_not_change_is_stored_once_however_many_artefacts_hold_it(vault, tmp_path):
    same, before, after = float32(*range(1000)), float32(1.0), float32(2.0)
    put_folder(vault, write_model(tmp_path / "one", same=same, other=before), kind="model")
    blobs = set(object_files(vault))
    put_folder(vault, write_model(tmp_path / "two", same=same, other=after), kind="model")
    added = set(object_files(vault)) - blobs
    (pack,) = (path for path in added if path.suffix == ".pack")
    assert [place.size_bytes for place in read_index(pack)[0]] == [4]  # the tensor that changed; the header is the same
    assert len(added) == 2  # and the manifest


def test_putting_the_same_content_twice_writes_nothing(vault, tmp_path):
    first = put_folder(vault, write_model(tmp_path / "one", a=float32(1.0, 2.0)), kind="model")
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in object_files(vault)}
    second = put_folder(vault, write_model(tmp_path / "two", a=float32(1.0, 2.0)), kind="model")
    assert first == second
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in object_files(vault)} == before


def test_the_artefact_digest_knows_no_time_no_place_and_no_author(tmp_path):
    digests = set()
    for number in range(3):
        folder = write_model(tmp_path / f"model-{number}", a=float32(1.0))
        os.utime(folder / "config.json", (number, number))
        vault = open_vault(tmp_path / f"store-{number}")
        digests.add(put_folder(vault, folder, kind="model"))
        commit(vault, digests.copy().pop(), ref="main", message=str(number), time=dt.datetime.now(dt.UTC))
    assert len(digests) == 1


def test_the_digest_of_an_artefact_is_the_digest_of_its_manifest(vault, tmp_path):
    artefact = put_folder(vault, write_model(tmp_path / "model", a=float32(1.0)), kind="model")
    assert digest_json(read_manifest(vault, artefact).model_dump(mode="json")) == artefact


@pytest.mark.parametrize("change", ["value", "dtype", "shape", "name", "file", "metadata", "kind"])
def test_each_part_of_the_content_counts_in_the_digest(vault, tmp_path, change):
    tensors = {
        "value": {"a": ("F32", (2,), b"12345679")},
        "dtype": {"a": ("I32", (2,), b"12345678")},
        "shape": {"a": ("F32", (2, 1), b"12345678")},
        "name": {"b": ("F32", (2,), b"12345678")},
    }
    original = write_model(tmp_path / "one", a=("F32", (2,), b"12345678"))
    changed = write_model(tmp_path / "two", **tensors.get(change, {"a": ("F32", (2,), b"12345678")}))
    if change == "file":
        (changed / "config.json").write_text("[]")
    if change == "metadata":
        content = safetensors_bytes({"a": ("F32", (2,), b"12345678")}, metadata={"format": "np"})
        (changed / "model.safetensors").write_bytes(content)
    kind = "adapter" if change == "kind" else "model"
    assert put_folder(vault, original, kind="model") != put_folder(vault, changed, kind=kind)


def test_both_digests_of_every_tensor_and_file_are_recorded(vault, tmp_path):
    folder = write_model(tmp_path / "model", a=float32(1.0), b=float32(2.0, 3.0))
    plain, split = read_manifest(vault, put_folder(vault, folder, kind="model")).files
    assert plain.sha256 == hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    assert [entry.sha256 for entry in split.tensors] == [
        hashlib.sha256(float32(*values)[2]).hexdigest() for values in ((1.0,), (2.0, 3.0))
    ]


def test_one_file_is_an_artefact_under_its_own_name(vault, tmp_path):
    (tmp_path / "report.html").write_text("<p>light</p>")
    artefact = put_file(vault, tmp_path / "report.html", kind="report")
    assert content_of(checkout(vault, artefact, tmp_path / "out")) == {"report.html": b"<p>light</p>"}


def test_a_truncated_checkpoint_is_refused_and_leaves_no_artefact(vault, tmp_path):
    folder = write_model(tmp_path / "model", a=float32(1.0, 2.0))
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(TruncatedSafetensorsError, match=r"model\.safetensors"):
        put_folder(vault, folder, kind="model")
    assert not list((vault.objects / "artefacts").iterdir())


def test_a_checkpoint_of_noise_is_refused(vault, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(bytes(range(100)))
    with pytest.raises(BadSafetensorsError):
        put_file(vault, tmp_path / "model.safetensors", kind="model")


def test_a_link_to_a_file_is_stored_as_the_file_and_a_link_to_a_folder_is_refused(vault, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "blob").write_bytes(b"content")
    (folder / "weights.bin").symlink_to(tmp_path / "blob")
    artefact = put_folder(vault, folder, kind="model")
    assert content_of(checkout(vault, artefact, tmp_path / "out")) == {"weights.bin": b"content"}
    (folder / "more").symlink_to(tmp_path)
    with pytest.raises(UnsupportedFileError, match="more"):
        put_folder(vault, folder, kind="model")


def test_what_is_no_plain_file_is_refused(vault, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    with pytest.raises(UnsupportedFileError, match="pipe"):
        put_folder(vault, folder, kind="model")
    with pytest.raises(UnsupportedFileError, match="not a folder"):
        put_folder(vault, tmp_path / "missing", kind="model")


@pytest.mark.parametrize("kind", ["", "Model", "a b", "../x", "a\n"])
def test_a_kind_is_a_plain_word(vault, tmp_path, kind):
    with pytest.raises(BadNameError):
        put_folder(vault, write_model(tmp_path / "model", a=float32(1.0)), kind=kind)


def test_a_checkout_overwrites_nothing_but_fills_an_empty_folder(vault, tmp_path):
    artefact = put_folder(vault, write_model(tmp_path / "model", a=float32(1.0)), kind="model")
    (tmp_path / "empty").mkdir()
    assert content_of(checkout(vault, artefact, tmp_path / "empty")) == content_of(tmp_path / "model")
    with pytest.raises(DestinationNotEmptyError):
        checkout(vault, artefact, tmp_path / "model")


def test_a_missing_blob_is_said_and_put_again_is_mended(vault, tmp_path):
    folder = write_model(tmp_path / "model", a=float32(1.0))
    artefact = put_folder(vault, folder, kind="model")
    next(vault.packs.iterdir()).unlink()
    with pytest.raises(MissingObjectError):
        checkout(vault, artefact, tmp_path / "out")
    with pytest.raises(MissingObjectError):
        commit(vault, artefact, ref="main", message="not whole")
    put_folder(vault, folder, kind="model")
    assert content_of(checkout(vault, artefact, tmp_path / "out")) == content_of(folder)


def test_a_damaged_object_that_is_set_aside_is_mended_by_the_next_put(vault, tmp_path):
    folder = write_model(tmp_path / "model", a=float32(1.0))
    artefact = put_folder(vault, folder, kind="model")
    commit(vault, artefact, ref="main", message="first")
    flip_bit(next(vault.packs.iterdir()), 8 * 12)
    report = verify(vault, set_aside=True)
    assert report.set_aside
    assert len(report.corrupt) == 1
    put_folder(vault, folder, kind="model")
    assert verify(vault).is_sound


def test_an_unknown_name_cannot_be_checked_out(vault, tmp_path):
    with pytest.raises(UnknownNameError, match="wave-9"):
        checkout(vault, "wave-9", tmp_path / "out")


def test_a_file_that_changes_while_it_is_stored_is_refused(vault, tmp_path):
    class Changing(Content):
        """A file that another process writes to: each reading finds other bytes."""

        readings = 0

        def blocks(self, size=0):
            Changing.readings += 1
            yield bytes([Changing.readings]) * self.size_bytes

    (tmp_path / "file").write_bytes(b"content")
    with BlobBatch(vault) as batch:
        with pytest.raises(SourceChangedError, match="changed"):
            batch.put(Source(data=Changing(content=b"content", name="file")))
        with (tmp_path / "file").open("rb") as stream, pytest.raises(SourceChangedError, match="shorter"):
            batch.put(Source(data=Extent(stream=stream, name="file", offset=0, size_bytes=9)))
        batch.make_durable()
    assert not object_files(vault)
    assert not list(vault.staging.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_said_in_one_error(vault, tmp_path):
    with pytest.raises(DiskFullError) as caught, explain_write_errors(vault.folder), open("/dev/full", "wb") as stream:
        stream.write(b"x" * 100_000)
    assert caught.value.code == "core.disk_full"
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(DiskFullError):
        raise_if_disk_full(OSError(errno.EDQUOT, "quota"), tmp_path)


def flip_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position // 8] ^= 1 << position % 8
    path.chmod(0o644)
    path.write_bytes(content)
