"""Tokenizers of bytes, and what may be wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bytes:
    """Each byte is an id, moved by `shift`."""

    shift: int = 0
    spell: Callable[[str], str] = str

    def encode(self, text: str) -> list[int]:
        return [(byte + self.shift) % 256 for byte in text.encode()]

    def decode(self, tokens: Sequence[int]) -> str:
        return self.spell(bytes((token - self.shift) % 256 for token in tokens).decode())
