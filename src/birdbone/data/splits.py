"""One dataset in three parts without overlap, the same parts on every machine.

Many documents are split by the hash of their text: a document keeps its split when others come or go, and one that
stands twice lands twice in the same split, so a copy cannot leak from training into judging. A few documents, or one
long text, are cut into three contiguous parts instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from birdbone.core import digest_bytes

Split = Literal["calibration", "healing", "heldout"]
Splits = dict[Split, tuple[str, ...]]

SHARES: tuple[tuple[Split, float], ...] = (("calibration", 0.2), ("healing", 0.6), ("heldout", 0.2))
"""Share of the documents (or, of one long text, of the characters) that each split gets, in this order."""

MIN_DOCUMENTS_TO_HASH = 30
"""With fewer documents a split by hash could leave a part nearly empty; then the text is cut contiguously."""


def split_documents(documents: Sequence[str]) -> Splits:
    """Return the three splits of `documents`; no document, and no stretch of a cut text, is in two of them.

    Split by hash, the documents of a split are ordered by that hash: a fixed shuffle, so that its first windows are a
    fair sample of a file that was sorted by topic.
    """
    if len(set(documents)) < MIN_DOCUMENTS_TO_HASH:
        return _cut_contiguously("\n\n".join(dict.fromkeys(documents)))
    splits = _split_by_hash(documents)
    return splits if all(splits.values()) else _cut_contiguously("\n\n".join(dict.fromkeys(documents)))


def split_of(document: str) -> Split:
    """Return the split that the hash of a document's text puts it in."""
    return _split_at(_position(document))


def _split_by_hash(documents: Sequence[str]) -> Splits:
    parts: dict[Split, list[str]] = {name: [] for name, _ in SHARES}
    for place, document in sorted((_position(document), document) for document in documents):
        parts[_split_at(place)].append(document)
    return {name: tuple(part) for name, part in parts.items()}


def _split_at(place: float) -> Split:
    bound = 0.0
    for name, share in SHARES[:-1]:
        bound += share
        if place < bound:
            return name
    return SHARES[-1][0]


def _position(document: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the text: 48 bits of its digest."""
    digits = digest_bytes(document.encode("utf-8", "surrogatepass")).removeprefix("b3:")
    return int(digits[:12], 16) / 16**12


def _cut_contiguously(text: str) -> Splits:
    begin, end = 0, 0.0
    parts: Splits = {}
    for name, share in SHARES:
        end += share
        cut = len(text) if name == SHARES[-1][0] else _word_end(text, round(end * len(text)))
        parts[name] = (text[begin:cut],)
        begin = cut
    return parts


def _word_end(text: str, near: int) -> int:
    """Return the first place from `near` on where a space or a line ends, within 200 characters, else `near`."""
    for place in range(near, min(near + 200, len(text))):
        if text[place].isspace():
            return place + 1
    return near
