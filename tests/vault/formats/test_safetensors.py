"""A header is believed only when it describes every byte of its file."""

import io
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from birdbone.vault import BadSafetensorsError, TruncatedSafetensorsError
from birdbone.vault.formats.safetensors import read_layout

from ..checkpoints import checkpoints, float32, safetensors_bytes, with_header


def layout_of(content: bytes):
    return read_layout(io.BytesIO(content), size_bytes=len(content), name="model.safetensors")


def entry(begin: int, end: int, *, dtype: str = "U8", shape: tuple[int, ...] | None = None) -> dict:
    return {"dtype": dtype, "shape": list(shape or (end - begin,)), "data_offsets": [begin, end]}


def test_the_layout_is_what_the_reference_writer_wrote():
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((), np.int64), "c": np.ones(0, np.uint8)}
    content = save(arrays, metadata={"format": "pt"})
    layout = layout_of(content)
    assert layout.metadata == {"format": "pt"}
    for span in layout.tensors:
        raw = content[layout.header_bytes + span.begin : layout.header_bytes + span.end]
        assert raw == arrays[span.name].tobytes()
        assert span.shape == arrays[span.name].shape


@given(checkpoints())
def test_the_spans_cover_the_data_in_order(content):
    layout = layout_of(content)
    ends = [0, *(span.end for span in layout.tensors)]
    assert [span.begin for span in layout.tensors] == ends[:-1]
    assert layout.header_bytes + ends[-1] == len(content)


@given(checkpoints().filter(lambda content: len(content) > 10), st.data())
def test_a_file_cut_anywhere_is_called_truncated(content, data):
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(TruncatedSafetensorsError) as caught:
        layout_of(content[:cut])
    assert caught.value.code == "vault.truncated_safetensors"
    assert caught.value.hint


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_checkpoint_give_the_one_error_and_no_other(content):
    with pytest.raises(BadSafetensorsError):
        layout_of(struct.pack("<Q", len(content)) + content + b"x")


@settings(max_examples=200)
@given(checkpoints(), st.data())
def test_a_header_with_a_flipped_byte_is_refused_or_still_covers_the_file(content, data):
    spot = data.draw(st.integers(0, 7 + struct.unpack("<Q", content[:8])[0]))
    flipped = bytearray(content)
    flipped[spot] ^= 1 << data.draw(st.integers(0, 7))
    try:
        layout = layout_of(bytes(flipped))
    except BadSafetensorsError:
        return
    assert layout.header_bytes + sum(span.end - span.begin for span in layout.tensors) == len(content)


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ({"a": entry(0, 4), "b": entry(2, 8)}, "overlaps"),
        ({"a": entry(0, 3), "b": entry(4, 8)}, "hole"),
        ({"a": entry(0, 7)}, "belong to no tensor"),
        ({"a": entry(1, 8)}, "hole"),
        ({"a": entry(0, 8, shape=(7,))}, "does not fit"),
        ({"a": entry(0, 8, shape=(-1, -8))}, "does not fit"),
        ({"a": entry(0, 8, dtype="F64", shape=(True,))}, "does not fit"),
        ({"a": {"dtype": "U8", "shape": [8], "data_offsets": [8, 0]}}, "does not fit"),
        ({"a": {"dtype": "U8", "shape": [8], "data_offsets": [0.0, 8.0]}}, "does not fit"),
        ({"a": entry(0, 8, dtype="F7")}, "not understood"),
        ({"a": {"dtype": ["U8"], "shape": [8], "data_offsets": [0, 8]}}, "not understood"),
        ({"a": {"dtype": "U8", "shape": 8, "data_offsets": [0, 8]}}, "does not fit"),
        ({"a": {"shape": [8], "data_offsets": [0, 8]}}, "not understood"),
        ({"a": None}, "not understood"),
        ({"__metadata__": {"format": 1}, "a": entry(0, 8)}, "metadata"),
        ({"__metadata__": [], "a": entry(0, 8)}, "metadata"),
        ([entry(0, 8)], "not a JSON object"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused_by_name(header, fault):
    with pytest.raises(BadSafetensorsError, match=fault):
        layout_of(with_header(header, b"12345678"))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"[" * 5000,
        b"\xff\xfe",
        b"",
        b'{"a":{"dtype":"U8","shape":[1' + b"0" * 5000 + b'],"data_offsets":[0,1]}}',
    ],
)
def test_json_that_is_a_trap_is_refused(text):
    with pytest.raises(BadSafetensorsError, match="JSON"):
        layout_of(struct.pack("<Q", len(text)) + text + b"x")


def test_a_header_that_is_a_bomb_is_refused_before_it_is_read():
    with pytest.raises(BadSafetensorsError, match="100 MB"):
        layout_of(struct.pack("<Q", 1 << 40) + b"{}")


def test_bytes_after_the_last_tensor_are_refused():
    with pytest.raises(BadSafetensorsError, match="belong to no tensor"):
        layout_of(safetensors_bytes({"a": float32(1.0)}) + b"tail")


def test_the_error_is_plain_data_for_json():
    with pytest.raises(TruncatedSafetensorsError) as caught:
        layout_of(b"123")
    assert json.loads(json.dumps(caught.value.to_dict()))["path"] == "model.safetensors"
