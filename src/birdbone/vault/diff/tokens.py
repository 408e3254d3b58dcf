"""What differs between two vocabularies: tokens that came, went or moved to another id, and merges.

Read are `tokenizer.json` of the Hugging Face library (models BPE, WordPiece and WordLevel with a mapping from token to
id, Unigram with a list) and plain mappings such as `vocab.json`. What else stands in the file is compared as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from birdbone.vault.diff.json_values import ValueChange, diff_values


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMove:
    """A token that is in both vocabularies under different ids."""

    token: str
    id_before: int
    id_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyDiff:
    """How two vocabularies differ; tokens are in the order of their ids."""

    num_tokens_before: int
    num_tokens_after: int
    added: tuple[tuple[str, int], ...]
    """Tokens with their ids."""
    removed: tuple[tuple[str, int], ...]
    moved: tuple[TokenMove, ...]
    num_merges_added: int
    """Merge rules of a BPE that only the second has."""
    num_merges_removed: int
    is_merge_order_changed: bool
    """Whether the rules that both have come in another order."""


def diff_tokenizers(old: Any, new: Any) -> tuple[VocabularyDiff, tuple[ValueChange, ...]] | None:
    """Return how the vocabularies differ and what else does; None if a side is neither kind of file."""
    before, after = _vocabulary(old), _vocabulary(new)
    if before is None or after is None:
        return None
    return _diff(before, after, merges=(_merges(old), _merges(new))), diff_values(_settings(old), _settings(new))


def _diff(before: dict[str, int], after: dict[str, int], *, merges: tuple[list[str], list[str]]) -> VocabularyDiff:
    old_rules, new_rules = set(merges[0]), set(merges[1])
    shared = [[rule for rule in rules if rule in old_rules & new_rules] for rules in merges]
    moved = sorted((after[token], token) for token in before.keys() & after.keys() if before[token] != after[token])
    return VocabularyDiff(
        num_tokens_before=len(before),
        num_tokens_after=len(after),
        added=_by_id(after, after.keys() - before.keys()),
        removed=_by_id(before, before.keys() - after.keys()),
        moved=tuple(TokenMove(token=token, id_before=before[token], id_after=index) for index, token in moved),
        num_merges_added=len(new_rules - old_rules),
        num_merges_removed=len(old_rules - new_rules),
        is_merge_order_changed=shared[0] != shared[1],
    )


def _by_id(vocabulary: Mapping[str, int], tokens: set[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(((token, vocabulary[token]) for token in tokens), key=lambda pair: (pair[1], pair[0])))


def _vocabulary(content: Any) -> dict[str, int] | None:
    if not isinstance(content, dict):
        return None
    model = content.get("model")
    if not isinstance(model, dict):
        return content if content and _is_mapping(content) else None
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, list):
        vocabulary = {str(entry[0]): index for index, entry in enumerate(vocabulary) if isinstance(entry, list)}
    if not isinstance(vocabulary, dict) or not _is_mapping(vocabulary):
        return None
    return {**vocabulary, **_added_tokens(content)}


def _is_mapping(vocabulary: dict[str, Any]) -> bool:
    return all(type(index) is int for index in vocabulary.values())


def _added_tokens(content: dict[str, Any]) -> dict[str, int]:
    entries = content.get("added_tokens")
    if not isinstance(entries, list):
        return {}
    plain = [entry for entry in entries if isinstance(entry, dict) and type(entry.get("id")) is int]
    return {str(entry.get("content")): entry["id"] for entry in plain}


def _merges(content: dict[str, Any]) -> list[str]:
    model = content.get("model")
    rules = model.get("merges") if isinstance(model, dict) else None
    if not isinstance(rules, list):
        return []
    return [
        rule if isinstance(rule, str) else " ".join(map(str, rule)) for rule in rules if isinstance(rule, str | list)
    ]


def _settings(content: dict[str, Any]) -> dict[str, Any]:
    """Return everything but the vocabulary; the flags of added tokens stand under the token."""
    model = content.get("model")
    if not isinstance(model, dict):
        return {}
    kept = {key: value for key, value in content.items() if key not in ("model", "added_tokens")}
    kept["model"] = {key: value for key, value in model.items() if key not in ("vocab", "merges")}
    entries = content.get("added_tokens")
    flags = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    kept["added_tokens"] = {
        str(entry.get("content")): {key: value for key, value in entry.items() if key not in ("id", "content")}
        for entry in flags
    }
    return kept
