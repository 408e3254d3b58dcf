"""Content digests: BLAKE3, written `b3:<64 hex digits>`. Identity of everything in the vault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from blake3 import blake3


def digest_bytes(data: bytes | bytearray | memoryview) -> str:
    """Return the BLAKE3 digest of `data` as `b3:<hex>`."""
    return f"b3:{blake3(data).hexdigest()}"


def digest_file(path: Path) -> str:
    """Return the BLAKE3 digest of a file as `b3:<hex>`; the file is mapped, not read into memory."""
    hasher = blake3()
    if path.stat().st_size:
        hasher.update_mmap(path)
    return f"b3:{hasher.hexdigest()}"


def digest_json(value: Any) -> str:
    """Return the digest of `value` in canonical JSON: sorted keys, no spaces, UTF-8."""
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
