"""Keep a version of a `.safetensors` file with z4ai: tensor by tensor, as a delta against the version before.

Runs in the peers' environment, where z4ai is and Birdbone is not. A tensor without a version before is compressed
alone; one that did not change takes nothing. Each is decompressed again and compared before it counts.

Run: `python z4ai_delta.py FILE OUT [BEFORE]`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import z4ai

_DTYPES = {"F32": "fp32", "BF16": "bf16"}


def main(file: str, out: str, before: str | None = None) -> None:
    old = {} if before is None else {name: data for name, _, data in _tensors(Path(before))}
    with Path(out).open("wb") as stream:
        for name, dtype, data in _tensors(Path(file)):
            if data != old.get(name):
                stream.write(_compress(data, old.get(name), dtype))


def _compress(data: bytes, before: bytes | None, dtype: str) -> bytes:
    if before is None:
        packed = z4ai.compress(data, dtype=dtype)
        is_same = bytes(z4ai.decompress(packed)) == data
    else:
        packed = z4ai.compress_delta(data, before, dtype=dtype)
        is_same = bytes(z4ai.decompress_delta(packed, before)) == data
    if not is_same:
        raise SystemExit("z4ai gave back other bytes than it was given.")
    return packed


def _tensors(file: Path) -> list[tuple[str, str, bytes]]:
    raw = file.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    return [
        (name, _DTYPES[entry["dtype"]], raw[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]])
        for name, entry in header.items()
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
