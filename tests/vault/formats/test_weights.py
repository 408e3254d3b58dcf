"""Metadata and weights are told apart in every format, and a file that is not whole is never hashed as if it were."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from birdbone.vault import BadSafetensorsError, BadWeightFileError, WeightChange, hash_weights, update_manifest
from birdbone.vault.formats.gguf import BLOCK_SIZES, read_gguf_layout

WEIGHTS = {"b.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "a.bias": np.zeros(0, dtype=np.float16)}
ENDINGS = [".safetensors", ".gguf", ".pt"]


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], note: str) -> None:
    save_file(tensors, path, metadata={"note": note})


def write_gguf(path: Path, tensors: dict[str, np.ndarray], note: str) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_description(note)
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc"])
    writer.add_array("some.numbers", [1, 2, 3])
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_pt(path: Path, tensors: dict[str, np.ndarray], note: str) -> None:
    """The archive that torch.save writes: a pickle (here any bytes: nobody unpickles it) and one member a storage."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", note)
        for name, array in tensors.items():
            archive.writestr(f"archive/data/{name}", array.tobytes())


WRITE: dict[str, Callable[[Path, dict[str, np.ndarray], str], None]] = {
    ".safetensors": write_safetensors,
    ".gguf": write_gguf,
    ".pt": write_pt,
}


def write(path: Path, tensors: dict[str, np.ndarray] | None = None, *, note: str = "first") -> Path:
    WRITE[path.suffix](path, WEIGHTS if tensors is None else tensors, note)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_metadata_and_weights_have_digests_of_their_own(tmp_path: Path, ending: str) -> None:
    before = hash_weights(write(tmp_path / f"one{ending}"))
    told = hash_weights(write(tmp_path / f"two{ending}", note="other"))
    assert (told.weights, dict(told.tensors)) == (before.weights, dict(before.tensors))
    assert told.metadata != before.metadata

    trained = hash_weights(write(tmp_path / f"three{ending}", WEIGHTS | {"b.weight": WEIGHTS["b.weight"] + 1}))
    assert trained.metadata == before.metadata
    assert trained.weights != before.weights
    assert {name for name in WEIGHTS if trained.tensors[name] != before.tensors[name]} == {"b.weight"}
    assert before.size_bytes == (tmp_path / f"one{ending}").stat().st_size


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_order_of_tensors_in_the_file_does_not_matter(tmp_path: Path, ending: str) -> None:
    one = hash_weights(write(tmp_path / f"one{ending}"))
    two = hash_weights(write(tmp_path / f"two{ending}", dict(reversed(WEIGHTS.items()))))
    assert one.weights == two.weights


@pytest.mark.parametrize("change", [{"dtype": np.int32}, {"shape": (4, 3)}], ids=str)
@pytest.mark.parametrize("ending", [".safetensors", ".gguf"])
def test_the_same_bytes_as_another_type_or_shape_are_other_weights(tmp_path: Path, ending: str, change: Any) -> None:
    array = WEIGHTS["b.weight"]
    other = array.view(change["dtype"]) if "dtype" in change else array.reshape(change["shape"])
    one = hash_weights(write(tmp_path / f"one{ending}", {"w": array}))
    assert one.weights != hash_weights(write(tmp_path / f"two{ending}", {"w": other})).weights


@pytest.mark.parametrize("ending", ENDINGS)
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, ending: str, data: st.DataObject) -> None:
    whole = write(tmp_path / f"whole{ending}").read_bytes()
    cut = tmp_path / f"cut{ending}"
    last_byte = len(whole) - 1 if ending != ".gguf" else len(whole.rstrip(b"\0")) - 1  # a GGUF may end in padding
    cut.write_bytes(whole[: data.draw(st.integers(0, last_byte))])
    with pytest.raises((BadWeightFileError, BadSafetensorsError)):
        hash_weights(cut)


def spans_of(path: Path) -> dict[str, range]:
    """Where the bytes of a GGUF's tensors and keys, or of an archive's members, lie in the file."""
    if path.suffix == ".gguf":
        layout = read_gguf_layout(memoryview(path.read_bytes()), name=path.name)
        return {"(keys)": range(*layout.keys)} | {span.name: range(span.begin, span.end) for span in layout.tensors}
    if path.suffix != ".pt":
        return {}
    with zipfile.ZipFile(path) as archive:
        starts = {info: info.header_offset + 30 + len(info.filename) for info in archive.infolist()}  # nothing extra
        return {info.filename: range(start, start + info.compress_size) for info, start in starts.items()}


@pytest.mark.parametrize("ending", ENDINGS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_changes_a_digest_or_is_an_error(tmp_path: Path, ending: str, data: st.DataObject) -> None:
    path = tmp_path / f"whole{ending}"
    before = hash_weights(write(path))
    spans = spans_of(path)
    raw = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(raw) * 8 - 1))
    part = next((name for name, span in spans.items() if place // 8 in span), None)
    raw[place // 8] ^= 1 << place % 8
    path.write_bytes(raw)
    try:
        after = hash_weights(path)
    except (BadWeightFileError, BadSafetensorsError):
        assert ending != ".gguf" or part not in WEIGHTS, "no bytes of a tensor are wrong in themselves"
        return
    changed = {name for name in before.tensors if after.tensors.get(name) != before.tensors[name]}
    if ending == ".safetensors":
        assert (after.metadata, after.weights) != (before.metadata, before.weights)
    elif ending == ".pt":  # dates and attributes of an archive's members are no content; their bytes have a checksum
        assert part is None
        assert after.metadata == before.metadata
        assert after.tensors.items() <= before.tensors.items(), "a directory that lost a member is a change"
    elif part in WEIGHTS:
        assert (after.metadata, changed) == (before.metadata, {part})
    elif part is not None:
        assert after.metadata != before.metadata


def test_a_compressed_member_that_is_corrupt_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", "pickle")
        archive.writestr("archive/data/0", bytes(range(256)) * 4)
    hash_weights(path)
    span = spans_of(path)["archive/data/0"]
    raw = bytearray(path.read_bytes())
    raw[span.start] = 0xFF  # no kind of deflated block has these bits
    path.write_bytes(raw)
    with pytest.raises(BadWeightFileError, match="no sound archive"):
        hash_weights(path)


@pytest.mark.parametrize(
    "names",
    [[], ["a", "b"], ["data.pkl", "data/0"], ["x/data.pkl", "x/data/0", "y/data/0"], ["x/data.pkl", "b"], ["x/data/0"]],
    ids=str,
)
def test_an_archive_is_one_folder_with_a_pickle_so_that_no_two_members_share_a_name(
    tmp_path: Path, names: list[str]
) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    with pytest.raises(BadWeightFileError, match=r"data\.pkl"):
        hash_weights(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.onnx", b"x", "expected one of"),
        ("model.gguf", b"", "empty"),
        ("model.gguf", b"GGUF" + bytes(20), "not 2 or 3"),
        ("model.gguf", b"GGUF\x03\0\0\0" + b"\xff" * 16, "cut short"),
        ("model.pt", b"\x80\x04K\x01.", "no sound archive"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
    ],
)
def test_what_is_no_file_of_weights_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadWeightFileError, match=words):
        hash_weights(tmp_path / name)


def test_the_sizes_of_ggmls_types_are_those_of_gguf_py() -> None:
    assert {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()} == BLOCK_SIZES


def test_the_manifest_tells_what_changed_and_is_written_only_then(tmp_path: Path) -> None:
    manifest, path = tmp_path / "weights.json", write(tmp_path / "model.safetensors")
    _, (first,) = update_manifest(manifest, [path])
    assert (first.is_new, first.in_words()) == (True, "model.safetensors: new, 2 tensors")
    written = manifest.read_bytes()
    _, (again,) = update_manifest(manifest, [path])
    assert (again.is_change, manifest.read_bytes()) == (False, written)

    write(path, {"b.weight": WEIGHTS["b.weight"] * 2, "c.weight": WEIGHTS["b.weight"]}, note="second")
    _, (told,) = update_manifest(manifest, [path], is_check=True)
    assert manifest.read_bytes() == written
    expected = WeightChange(
        path="model.safetensors",
        is_new=False,
        is_metadata_changed=True,
        added=("c.weight",),
        removed=("a.bias",),
        changed=("b.weight",),
    )
    assert told == expected
    assert told.in_words() == "model.safetensors: tensors: 1 changed, 1 added, 1 removed; metadata changed"
    found, _ = update_manifest(manifest, [path])
    entry = json.loads(manifest.read_text())["files"]["model.safetensors"]
    assert entry["weights"] == found["model.safetensors"].weights
    assert entry["seconds"] >= 0
    assert entry["hashed_at"].endswith("+00:00")


def test_one_bad_file_leaves_the_manifest_as_it_was(tmp_path: Path) -> None:
    manifest, good = tmp_path / "weights.json", write(tmp_path / "good.safetensors")
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"no")
    with pytest.raises(BadWeightFileError):
        update_manifest(manifest, [good, bad])
    assert not manifest.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2, "files": {}}', '{"format": 1, "files": {"a": 1}}'])
def test_a_manifest_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "weights.json").write_text(text)
    with pytest.raises(BadWeightFileError, match="no manifest"):
        update_manifest(tmp_path / "weights.json", [])
