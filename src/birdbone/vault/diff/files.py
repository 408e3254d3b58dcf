"""How the files beside the weights differ: config, tokenizer, chat template, card, and any other text.

A file that is changed is read if it is small enough; JSON is compared by key, a vocabulary by token, other text line by
line. Anything else is only said to have changed.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from birdbone.vault.diff.json_values import ValueChange, diff_values
from birdbone.vault.diff.tokens import VocabularyDiff, diff_tokenizers
from birdbone.vault.folder import Vault
from birdbone.vault.records import Manifest, PlainFile
from birdbone.vault.store.objects import read_object

FileRole = Literal["config", "tokenizer", "card", "other"]
"""What a file is for, as its name says."""

_MAX_TEXT_BYTES = 1 << 20  # a diff of more lines than this holds is not read by anybody
_MAX_VOCABULARY_BYTES = 1 << 26  # the largest `tokenizer.json` on the hub have about half
_MAX_LINES = 20_000
_VOCABULARIES = frozenset(("tokenizer.json", "vocab.json", "added_tokens.json"))
_TOKENIZER_FILES = frozenset((
    *_VOCABULARIES, "tokenizer_config.json", "special_tokens_map.json", "merges.txt", "vocab.txt", "tokenizer.model",
    "chat_template.jinja", "chat_template.json", "spiece.model",
))  # fmt: skip
_CARDS = frozenset(("readme.md", "model_card.md", "modelcard.md"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChange:
    """A text whose lines differ, as a unified diff; `path` is the key in a JSON file, or empty for the whole file."""

    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """How one file differs. Of one that came or went only the size is said."""

    path: str
    role: FileRole
    change: Literal["added", "removed", "changed"]
    size_before: int | None
    """In bytes; None if it was not there."""
    size_after: int | None
    values: tuple[ValueChange, ...] = ()
    """Of JSON: the leaves that differ."""
    texts: tuple[TextChange, ...] = ()
    """Of text, and of JSON leaves of several lines, such as a chat template."""
    vocabulary: VocabularyDiff | None = None
    note: str = ""
    """Why there is nothing to see, if so."""


def diff_files(vault: Vault, before: Manifest, after: Manifest) -> list[FileDiff]:
    """Return how the files differ that are not safetensors: config, tokenizer, card, the others; then by path.

    Raises:
        CorruptObjectError, MissingObjectError: the store is damaged.
    """
    old, new = _plain_files(before), _plain_files(after)
    paths = [path for path in old.keys() | new.keys() if _digest(old.get(path)) != _digest(new.get(path))]
    order = ("config", "tokenizer", "card", "other")
    found = [_diff_file(vault, path, old.get(path), new.get(path)) for path in paths]
    return sorted(found, key=lambda file: (order.index(file.role), file.path))


def file_role(path: str) -> FileRole:
    """Return what a file is for, as its name says."""
    name = PurePosixPath(path).name.lower()
    if name in _CARDS:
        return "card"
    if name in _TOKENIZER_FILES:
        return "tokenizer"
    return "config" if name.endswith("config.json") else "other"


def diff_texts(old: str, new: str) -> tuple[str, ...]:
    """Return a unified diff with three lines of context, without the two lines that name the files.

    Signs that end a line elsewhere but in a file (such as U+2028) stay within the line.
    """
    lines = difflib.unified_diff(old.split("\n"), new.split("\n"), lineterm="", n=3)
    return tuple(lines)[2:]


def _plain_files(manifest: Manifest) -> dict[str, PlainFile]:
    return {file.path: file for file in manifest.files if file.layout == "file"}


def _digest(file: PlainFile | None) -> str | None:
    return None if file is None else file.digest


def _diff_file(vault: Vault, path: str, old: PlainFile | None, new: PlainFile | None) -> FileDiff:
    if old is None or new is None:
        sizes = (None if old is None else old.size_bytes, None if new is None else new.size_bytes)
        change: Literal["added", "removed"] = "added" if old is None else "removed"
        return FileDiff(path=path, role=file_role(path), change=change, size_before=sizes[0], size_after=sizes[1])
    return FileDiff(
        path=path,
        role=file_role(path),
        change="changed",
        size_before=old.size_bytes,
        size_after=new.size_bytes,
        **_content_diff(vault, path, old, new),
    )


def _content_diff(vault: Vault, path: str, old: PlainFile, new: PlainFile) -> dict[str, Any]:
    is_vocabulary = PurePosixPath(path).name in _VOCABULARIES
    limit = _MAX_VOCABULARY_BYTES if is_vocabulary else _MAX_TEXT_BYTES
    if max(old.size_bytes, new.size_bytes) > limit:
        return {"note": f"changed; larger than {limit >> 20} MiB, so its content was not compared"}
    texts = tuple(_decode(read_object(vault, "blobs", file.digest)) for file in (old, new))
    if texts[0] is None or texts[1] is None:
        return {"note": "binary, changed"}
    if path.endswith(".json") and (found := _json_diff(texts[0], texts[1], is_vocabulary=is_vocabulary)):
        return found
    return _text_diff(texts[0], texts[1])


def _decode(content: bytes) -> str | None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _json_diff(old: str, new: str, *, is_vocabulary: bool) -> dict[str, Any] | None:
    """Return how two JSON texts differ; None if one is not JSON."""
    try:
        before, after = _parse(old), _parse(new)
        vocabularies = diff_tokenizers(before, after) if is_vocabulary else None
        values = diff_values(before, after) if vocabularies is None else vocabularies[1]
    except (ValueError, RecursionError):
        return None
    texts = [change for change in values if _has_lines(change)]
    found = {
        "values": tuple(change for change in values if not _has_lines(change)),
        "texts": tuple(_leaf_text(change) for change in texts),
        "vocabulary": None if vocabularies is None else vocabularies[0],
    }
    return found if values or vocabularies else {"note": "the same values, written otherwise"}


def _parse(text: str) -> Any:
    value = json.loads(text)
    if "\\ud" in text.lower():
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8 form, and could not be shown
    return value


def _has_lines(change: ValueChange) -> bool:
    """Return whether a leaf went from text to text and is better read line by line."""
    sides = (change.old, change.new)
    return all(side is not None and side.startswith('"') for side in sides) and any("\\n" in str(s) for s in sides)


def _leaf_text(change: ValueChange) -> TextChange:
    old, new = (json.loads(side or '""') for side in (change.old, change.new))
    return TextChange(path=change.path, lines=diff_texts(old, new))


def _text_diff(old: str, new: str) -> dict[str, Any]:
    if max(len(old), len(new)) > _MAX_TEXT_BYTES or max(old.count("\n"), new.count("\n")) > _MAX_LINES:
        return {"note": "changed; too long to be compared line by line"}
    return {"texts": (TextChange(path="", lines=diff_texts(old, new)),)}
