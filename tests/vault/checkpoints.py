"""Checkpoints made byte by byte, so that a test can also make them wrong; and what is in a folder."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

from birdbone.vault import Vault
from birdbone.vault.formats.safetensors import DTYPE_BITS

Tensor = tuple[str, tuple[int, ...], bytes]
"""Dtype, shape and bytes."""


def safetensors_bytes(
    tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None, padding: int = 0
) -> bytes:
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    data = b""
    for name, (dtype, shape, raw) in tensors.items():
        assert 8 * len(raw) == math.prod(shape) * DTYPE_BITS[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return with_header(header, data, padding=padding)


def with_header(header: object, data: bytes, *, padding: int = 0) -> bytes:
    text = json.dumps(header).encode() + b" " * padding
    return struct.pack("<Q", len(text)) + text + data


def float32(*values: float) -> Tensor:
    return "F32", (len(values),), struct.pack(f"<{len(values)}f", *values)


def write_model(folder: Path, *, config: str = "{}", **tensors: Tensor) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors, metadata={"format": "pt"}))
    (folder / "config.json").write_text(config)
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def object_files(vault: Vault) -> list[Path]:
    """Return the packs and the records."""
    records = (path for path in vault.objects.glob("*/*/*") if path.is_file())
    return sorted([*vault.packs.glob("*.pack"), *records])


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any dtype of the format, any shape that is small, any bytes: NaN payloads and denormals come of themselves."""
    dtype = draw(st.sampled_from(sorted(DTYPE_BITS)))
    dims = st.lists(st.integers(0, 5), max_size=3)
    whole_bytes = dims.filter(lambda shape: math.prod(shape) * DTYPE_BITS[dtype] % 8 == 0)
    shape = tuple(draw(whole_bytes))
    size_bytes = math.prod(shape) * DTYPE_BITS[dtype] // 8
    return dtype, shape, draw(st.binary(min_size=size_bytes, max_size=size_bytes))


names = st.text(st.characters(codec="utf-8"), max_size=12).filter(lambda name: name != "__metadata__")
metadata = st.none() | st.dictionaries(names, names, max_size=3)


@st.composite
def checkpoints(draw: st.DrawFn) -> bytes:
    """A valid `.safetensors` file with whatever the format allows in it."""
    content = draw(st.dictionaries(names, tensors(), max_size=5))
    return safetensors_bytes(content, metadata=draw(metadata), padding=draw(st.integers(0, 9)))
