"""The container: what we write is read, by the vault and by gguf-py; what is damaged is refused."""

from __future__ import annotations

import contextlib
from math import prod
from pathlib import Path

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.models.gguf.container import StoredArray, TensorEntry, Uint32, Value, encode_header, padding
from birdbone.vault import BadWeightFileError, GgufLayout, read_gguf_layout

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
arrays = st.one_of(
    st.builds(StoredArray, st.just("string"), st.lists(texts, max_size=5)),
    st.builds(StoredArray, st.just("int32"), st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5)),
    st.builds(StoredArray, st.just("float32"), st.lists(st.floats(width=32, allow_nan=False), max_size=5)),
)
values = st.one_of(
    st.builds(Uint32, st.integers(0, 2**32 - 1)), texts, st.booleans(), st.floats(width=32, allow_nan=False), arrays
)
headers = st.dictionaries(texts.map(lambda text: f"k.{text}"), values, max_size=6)
shapes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)


def _pack(pairs: list[tuple[str, tuple[int, ...]]]) -> list[TensorEntry]:
    """Give each float32 tensor its place behind the one before."""
    found: list[TensorEntry] = []
    offset = 0
    for name, shape in pairs:
        found.append(TensorEntry(name=name, shape=shape, type_id=0, offset=offset))
        offset += 4 * prod(shape) + padding(4 * prod(shape))
    return found


entries = st.lists(st.tuples(texts, shapes), max_size=4).map(_pack)


def _read(data: bytes, tensors: list[TensorEntry]) -> GgufLayout:
    """Read a header with as many bytes of data behind it as its tensors need."""
    size = max((entry.offset + 4 * prod(entry.shape) for entry in tensors), default=0)
    return read_gguf_layout(memoryview(data + bytes(size)), name="model.gguf")


def _plain(value: Value) -> object:
    if isinstance(value, Uint32):
        return value.value
    return list(value.values) if isinstance(value, StoredArray) else value


@given(headers, entries)
def test_a_header_is_read_as_it_was_written(metadata: dict[str, Value], tensors: list[TensorEntry]) -> None:
    data = encode_header(metadata, tensors)
    header = _read(data, tensors)
    assert dict(header.metadata) == {key: _plain(value) for key, value in metadata.items()}
    assert list(header.metadata) == list(metadata)
    found = [(span.name, span.shape, span.type_id, span.begin - header.data_start) for span in header.tensors]
    assert found == [(entry.name, entry.shape, entry.type_id, entry.offset) for entry in tensors]
    assert header.data_start == len(data)
    assert padding(len(data)) == 0


@given(headers, entries, st.data())
def test_a_header_cut_anywhere_is_an_error(
    metadata: dict[str, Value], tensors: list[TensorEntry], draw: st.DataObject
) -> None:
    data = encode_header(metadata, tensors)
    whole = _read(data, tensors)
    cut = draw.draw(st.integers(0, len(data) - 1))
    try:
        header = read_gguf_layout(memoryview(data[:cut]), name="model.gguf")
    except BadWeightFileError:
        return
    assert header == whole  # only padding was cut off, and there are no tensors
    assert not tensors


@given(headers, entries, st.data())
def test_a_flipped_byte_never_gives_another_kind_of_error(
    metadata: dict[str, Value], tensors: list[TensorEntry], draw: st.DataObject
) -> None:
    data = bytearray(encode_header(metadata, tensors))
    for _ in range(3):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(BadWeightFileError):
        _read(bytes(data), tensors)


def test_gguf_py_reads_our_header(tmp_path: Path) -> None:
    metadata: dict[str, Value] = {
        "general.architecture": "llama",
        "llama.block_count": Uint32(3),
        "llama.eps": 0.5,
        "flag": True,
        "tokens": StoredArray("string", ["a", "ü"]),
        "scores": StoredArray("float32", [0.25, -1.0]),
    }
    path = tmp_path / "header.gguf"
    entry = TensorEntry(name="w", shape=(2, 4), type_id=0, offset=0)
    path.write_bytes(encode_header(metadata, [entry]) + bytes(32))
    reader = gguf.GGUFReader(path)
    assert {key: reader.fields[key].contents() for key in metadata} == {
        key: _plain(value) for key, value in metadata.items()
    }
    assert reader.tensors[0].shape.tolist() == [4, 2]


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "not a GGUF"), (b"PK\3\4" + bytes(40), "not a GGUF"), (b"GGUF\x09" + bytes(40), "version 9")],
)
def test_what_is_not_gguf_is_named_so(data: bytes, said: str) -> None:
    with pytest.raises(BadWeightFileError, match=said):
        _read(data, [])
