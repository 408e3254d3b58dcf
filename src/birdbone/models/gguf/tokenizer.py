"""A tokenizer as GGUF keys (`tokenizer.ggml.*`). Two kinds can be carried.

- Byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM): model `gpt2`, with merges and the name of the pre-tokenizer.
- Sentence-piece style BPE with byte fallback (Llama 2, Mistral, Gemma, Phi-3): model `llama`, with scores. llama.cpp
  merges the pair whose result scores highest; a merge's score is minus its rank, which gives the order of the merges.

A unigram tokenizer (T5) is refused: llama.cpp's `llama` model would merge greedily and give other tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from transformers import PreTrainedTokenizerBase

from birdbone.models.gguf.container import StoredArray, Uint32, Value
from birdbone.models.gguf.errors import TokenizerFitError, UnsupportedExportError
from birdbone.models.gguf.pretokenizers import pre_tokenizer_name

_UNUSED_SCORE = -10000.0
_SPECIAL_SCORE = -1000.0
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


class TokenKind(IntEnum):
    """What a token is to llama.cpp, with its own numbers."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vocabulary:
    """Tokens by id, filled up to the rows of the embedding, and what each one is."""

    texts: Sequence[str]
    kinds: Sequence[TokenKind]


def tokenizer_metadata(tokenizer: PreTrainedTokenizerBase, *, vocab_size: int) -> dict[str, Value]:
    """Return the `tokenizer.*` keys of a fast tokenizer; `vocab_size` is the number of rows of the embedding.

    Raises:
        UnsupportedExportError: not a kind of tokenizer that llama.cpp runs with the same ids, as far as is known.
        TokenizerFitError: ids beyond the embedding.
    """
    described = _described(tokenizer)
    vocabulary = _vocabulary(described, vocab_size, unknown_id=tokenizer.unk_token_id)
    keys = _model_keys(tokenizer, described, vocabulary)
    keys |= _special_ids(tokenizer) | _framing(tokenizer)
    return keys | _chat_template(tokenizer)


def describe_tokenizer_limits(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Return in which texts llama.cpp is known to read otherwise than this tokenizer, in sentences."""
    described = _described(tokenizer)
    limits = []
    if (described["normalizer"] or {}).get("type") == "NFC":
        limits.append("The tokenizer brings text to Unicode form NFC first, llama.cpp does not: give it NFC text.")
    if (described["pre_tokenizer"] or {}).get("type") == "Metaspace" and _puts_space_first(described):
        limits.append("llama.cpp puts a space before text that already begins with one; the tokenizer does not.")
    return tuple(limits)


def _described(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(_backend(tokenizer).to_str())
    kind = described["model"]["type"]
    if kind != "BPE":
        raise UnsupportedExportError(f"A {kind} tokenizer cannot be exported; only BPE tokenizers can.")
    return described


def _backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    if not getattr(tokenizer, "is_fast", False):
        raise UnsupportedExportError(
            f"{type(tokenizer).__name__} has no tokenizer.json form; only fast tokenizers can be exported.",
        )
    return tokenizer.backend_tokenizer


def _model_keys(
    tokenizer: PreTrainedTokenizerBase, described: Mapping[str, Any], vocabulary: _Vocabulary
) -> dict[str, Value]:
    model = described["model"]
    if _is_byte_level(described):
        _check_byte_level(described)
        return _byte_level_keys(pre_tokenizer_name(_backend(tokenizer)), model, vocabulary)
    return _sentence_piece_keys(described, vocabulary)


def _byte_level_keys(pre: str, model: Mapping[str, Any], vocabulary: _Vocabulary) -> dict[str, Value]:
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": StoredArray("string", vocabulary.texts),
        "tokenizer.ggml.token_type": StoredArray("int32", vocabulary.kinds),
        "tokenizer.ggml.merges": StoredArray("string", [" ".join(pair) for pair in _merges(model)]),
    }


def _sentence_piece_keys(described: Mapping[str, Any], vocabulary: _Vocabulary) -> dict[str, Value]:
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": StoredArray("string", vocabulary.texts),
        "tokenizer.ggml.scores": StoredArray("float32", _scores(described["model"], vocabulary)),
        "tokenizer.ggml.token_type": StoredArray("int32", vocabulary.kinds),
        "tokenizer.ggml.add_space_prefix": _puts_space_first(described),
    }


def _is_byte_level(described: Mapping[str, Any]) -> bool:
    return "ByteLevel" in json.dumps(described["pre_tokenizer"]) and not described["model"].get("byte_fallback")


def _check_byte_level(described: Mapping[str, Any]) -> None:
    """Refuse what llama.cpp does not do before the cutting. NFC is let through: it changes no text that is NFC."""
    kind = (described["normalizer"] or {"type": "NFC"})["type"]
    if kind != "NFC":
        raise UnsupportedExportError(
            f"llama.cpp does not normalise text for byte-level BPE; this tokenizer does ({kind})."
        )
    if described["model"].get("continuing_subword_prefix") or described["model"].get("end_of_word_suffix"):
        raise UnsupportedExportError("llama.cpp does not know this tokenizer's marks inside or after a word.")


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = (merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"])
    return [(left, right) for left, right in pairs]


def _vocabulary(described: Mapping[str, Any], vocab_size: int, *, unknown_id: int | None) -> _Vocabulary:
    texts = {index: text for text, index in described["model"]["vocab"].items()}
    kinds = dict.fromkeys(texts, TokenKind.NORMAL)
    if described["model"].get("byte_fallback"):
        kinds |= {index: TokenKind.BYTE for index, text in texts.items() if _is_byte_token(text)}
        kinds |= {index: TokenKind.UNKNOWN for index in (unknown_id,) if index is not None}
    for added in described["added_tokens"]:
        texts[added["id"]] = added["content"]
        if kinds.get(added["id"]) is not TokenKind.UNKNOWN:
            kinds[added["id"]] = TokenKind.CONTROL if added["special"] else TokenKind.USER_DEFINED
    _check_fit(texts, vocab_size)
    return _Vocabulary(
        texts=[texts.get(index, f"[PAD{index}]") for index in range(vocab_size)],
        kinds=[kinds.get(index, TokenKind.UNUSED) for index in range(vocab_size)],
    )


def _check_fit(texts: Mapping[int, str], vocab_size: int) -> None:
    if texts and max(texts) >= vocab_size:
        raise TokenizerFitError(
            f"The tokenizer has id {max(texts)}, but the embedding has {vocab_size} rows.",
            hint="Take the tokenizer that belongs to this model, or resize its embedding first.",
        )


def _is_byte_token(text: str) -> bool:
    return len(text) == 6 and text.startswith("<0x") and text.endswith(">")


def _scores(model: Mapping[str, Any], vocabulary: _Vocabulary) -> list[float]:
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(_merges(model)):
        ranks.setdefault(left + right, rank)
    return [_score(text, kind, ranks) for text, kind in zip(vocabulary.texts, vocabulary.kinds, strict=True)]


def _score(text: str, kind: TokenKind, ranks: Mapping[str, int]) -> float:
    match kind:
        case TokenKind.NORMAL:
            return -float(ranks.get(text, len(ranks)))
        case TokenKind.UNUSED:
            return _UNUSED_SCORE
        case _:
            return _SPECIAL_SCORE if kind is TokenKind.CONTROL else 0.0


def _puts_space_first(described: Mapping[str, Any]) -> bool:
    """Return whether text gets a space in front: a `Prepend` normalizer, or `Metaspace` that is not `never`."""
    normalizer, cutter = json.dumps(described["normalizer"]), described["pre_tokenizer"]
    if cutter is not None and cutter["type"] != "Metaspace" and not _splits_on_space_only(cutter):
        raise UnsupportedExportError(f"llama.cpp's sentence-piece model does not cut text by {cutter['type']}.")
    if cutter is not None and cutter["type"] == "Metaspace":
        return str(cutter.get("prepend_scheme", "always")) != "never"
    return '"Prepend"' in normalizer


def _splits_on_space_only(cutter: Mapping[str, Any]) -> bool:
    return bool(cutter["type"] == "Split" and cutter["pattern"] == {"String": " "})


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Value]:
    ids = {
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
        "unknown": tokenizer.unk_token_id,
        "padding": tokenizer.pad_token_id,
    }
    return {f"tokenizer.ggml.{name}_token_id": Uint32(index) for name, index in ids.items() if index is not None}


def _framing(tokenizer: PreTrainedTokenizerBase) -> dict[str, Value]:
    """Return whether the tokenizer itself puts its first and last token around a text: asked, not looked up."""
    framed = tokenizer.encode("a", add_special_tokens=True)
    bare = tokenizer.encode("a", add_special_tokens=False)
    is_longer = len(framed) > len(bare)
    return {
        "tokenizer.ggml.add_bos_token": is_longer and framed[0] == tokenizer.bos_token_id,
        "tokenizer.ggml.add_eos_token": is_longer and framed[-1] == tokenizer.eos_token_id,
    }


def _chat_template(tokenizer: PreTrainedTokenizerBase) -> dict[str, Value]:
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    return {"tokenizer.chat_template": template} if template else {}
