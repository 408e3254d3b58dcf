"""Single tensors read and copied out of safetensors files, without mapping them: a mapped page counts as memory.

The library's own reader checks the header; places are taken from the same header.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from birdbone.models.errors import CorruptCheckpointError

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_PIECE_BYTES = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Where a tensor lies; `read` brings it into memory."""

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    size_bytes: int

    def read(self) -> Tensor:
        """Return the tensor, in memory of its own.

        Raises:
            CorruptCheckpointError: the file ends before the tensor does.
        """
        data = bytearray(self.size_bytes)
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.begin)
            view, num_read = memoryview(data), 0
            while num_read < self.size_bytes and (count := file.readinto(view[num_read:])):
                num_read += count
        if num_read < self.size_bytes:
            raise CorruptCheckpointError(f"{self.path} ends in the middle of a tensor.")
        if not data:
            return torch.empty(self.shape, dtype=self.dtype)
        return torch.frombuffer(data, dtype=self.dtype).view(self.shape)


def copy_tensors(stored: Mapping[str, StoredTensor], path: Path) -> None:
    """Write a safetensors file of tensors as they are stored elsewhere, a piece at a time.

    Raises:
        CorruptCheckpointError: a file ends before a tensor does.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, place in stored.items():
        begin, end = end, end + place.size_bytes
        header[name] = {"dtype": _NAMES[place.dtype], "shape": list(place.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for place in stored.values():
            _copy(place, out)


def _copy(place: StoredTensor, out: BinaryIO) -> None:
    left = place.size_bytes
    with place.path.open("rb", buffering=0) as file:
        file.seek(place.begin)
        while left:
            piece = file.read(min(left, _PIECE_BYTES))
            if not piece:
                raise CorruptCheckpointError(f"{place.path} ends in the middle of a tensor.")
            out.write(piece)
            left -= len(piece)


def find_tensors(path: Path) -> dict[str, StoredTensor]:
    """Return where each tensor of a safetensors file lies.

    Raises:
        CorruptCheckpointError: it is no such file, or holds a format that is not read here.
    """
    try:
        with safe_open(path, framework="pt"):  # checks that the header fits the file
            pass
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptCheckpointError(f"{path} cannot be read: {error}.") from error
    header.pop("__metadata__", None)
    unknown = sorted({entry["dtype"] for entry in header.values()} - set(_DTYPES))
    if unknown:
        raise CorruptCheckpointError(f"{path} holds tensors of the format {unknown[0]}, which is not read here.")
    return {
        name: StoredTensor(
            path=path,
            dtype=_DTYPES[entry["dtype"]],
            shape=tuple(entry["shape"]),
            begin=8 + length + entry["data_offsets"][0],
            size_bytes=entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
    }
