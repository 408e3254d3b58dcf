"""Coverage-guided fuzzing of everything in the vault that reads bytes of unknown origin.

Question: does any input make a reader raise what it does not promise, hang, or ask for much memory?
Method: atheris (libFuzzer) mutates inputs and keeps those that reach new code. The first byte chooses the reader:
safetensors header, GGUF header, index of a pack, a frame (whole or as a change), a manifest, a version. What a reader
promises is its error; anything else stops the run and leaves the input beside it as `crash-...`.
The property tests (tests/vault) say that what is read is right; this says that what is wrong ends well.

Run: `pip install atheris`, then `python benchmarks/vault/fuzz_readers.py -max_total_time=60 -rss_limit_mb=2048`.
All options are libFuzzer's; a folder of inputs may follow them. Prints libFuzzer's own report, not a row.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["birdbone.vault"]):
    import numpy as np
    from pydantic import ValidationError

    from birdbone.vault.errors import VaultError
    from birdbone.vault.formats.gguf import read_gguf_layout
    from birdbone.vault.formats.safetensors import read_layout
    from birdbone.vault.records import Manifest, Version
    from birdbone.vault.store.codec.frames import decode_frame
    from birdbone.vault.store.packs import read_index

_FOLDER = Path(tempfile.mkdtemp(prefix="birdbone-fuzz-"))
_BELOW = np.random.default_rng(0).standard_normal(64).astype(np.float32).view(np.uint32)


def main() -> None:
    atheris.Setup(sys.argv, _read)
    atheris.Fuzz()


def _read(data: bytes) -> None:
    if data:
        reader, promised = _READERS[data[0] % len(_READERS)]
        try:
            reader(data[1:])
        except promised:
            return


def _read_safetensors(data: bytes) -> None:
    read_layout(io.BytesIO(data), size_bytes=len(data), name="fuzzed")


def _read_pack(data: bytes) -> None:
    path = _FOLDER / "fuzzed.pack"
    path.write_bytes(data)
    read_index(path)


def _read_frame(data: bytes) -> None:
    decode_frame(memoryview(data), num_bytes=_BELOW.nbytes, width=4, below=_BELOW)


_READERS: tuple[tuple[Callable[[bytes], object], tuple[type[Exception], ...]], ...] = (
    (_read_safetensors, (VaultError,)),
    (lambda data: read_gguf_layout(memoryview(data), name="fuzzed"), (VaultError,)),
    (_read_pack, ()),
    (_read_frame, (ValueError,)),
    (lambda data: Manifest.model_validate_json(data), (ValidationError, VaultError)),
    (lambda data: Version.model_validate_json(data), (ValidationError, VaultError)),
)


if __name__ == "__main__":
    main()
