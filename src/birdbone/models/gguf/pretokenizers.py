"""How text is cut into words before the merges, and the name that llama.cpp knows each way by (`tokenizer.ggml.pre`).

A wrong name is the classic silent error of a GGUF export: the model runs, on other tokens than it was trained on. So
the name is found from the structure of the tokenizer itself, an unknown structure is an error, and
`birdbone.models.llamacpp.compare_tokenizers` proves the choice by token ids.

The table reads both ways, because a GGUF file carries the name alone: `transformers` builds GPT-2's cutting for every
BPE file whatever the name says, so `restore_pre_tokenizer` gives a tokenizer that was read from GGUF its own one back.
Source: llama.cpp `llm_tokenizer_bpe` for what each name means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import PreTokenizer

from birdbone.models.gguf.errors import UnsupportedExportError

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _TAIL
_QWEN2 = _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _TAIL

_Step = tuple[Any, ...]
_GPT2_WORDS: _Step = ("ByteLevel", True)
_BYTES_ONLY: _Step = ("ByteLevel", False)

_STRUCTURES: Mapping[str, tuple[_Step, ...]] = {
    "gpt-2": (_GPT2_WORDS,),
    "smollm": (("Digits", True), _GPT2_WORDS),
    "llama-bpe": (("Split", _LLAMA3, "Isolated", False), _BYTES_ONLY),
    "qwen2": (("Split", _QWEN2, "Isolated", False), _BYTES_ONLY),
}
"""The known structures; llama.cpp has more names for the same ones."""

_SYNONYMS = {"starcoder": "smollm", "refact": "smollm", "command-r": "smollm", "olmo": "gpt-2", "mpt": "gpt-2"}
_WITH_WHOLE_WORD_LOOKUP = ("llama-bpe",)


def pre_tokenizer_name(tokenizer: Tokenizer) -> str:
    """Return llama.cpp's name of this byte-level BPE tokenizer's way to cut text.

    Raises:
        UnsupportedExportError: llama.cpp has no name that we know for it; nothing is guessed.
    """
    described = json.loads(tokenizer.to_str())
    steps = _steps(described["pre_tokenizer"])
    for name, structure in _STRUCTURES.items():
        if steps == structure and _looks_up_words(described) == (name in _WITH_WHOLE_WORD_LOOKUP):
            return name
    raise UnsupportedExportError(
        f"llama.cpp has no known name for this tokenizer's way to cut text: {_spell(steps)}.",
        hint=f"Known: {', '.join(_STRUCTURES)}. The model can still be saved as safetensors.",
    )


def restore_pre_tokenizer(tokenizer: Tokenizer, name: str) -> None:
    """Give a tokenizer that was read from a GGUF file the cutting that the file's `tokenizer.ggml.pre` names, in place.

    Raises:
        UnsupportedExportError: the name is not one that we know.
    """
    known = _SYNONYMS.get(name, name)
    if known not in _STRUCTURES:
        raise UnsupportedExportError(
            f"The file's pre-tokenizer {name!r} is not known; known: {', '.join(_STRUCTURES)}.", pre=name
        )
    tokenizer.pre_tokenizer = _build(_STRUCTURES[known])


def _steps(described: Any) -> tuple[_Step, ...]:
    if described is None:
        return ()
    if described["type"] == "Sequence":
        return tuple(step for part in described["pretokenizers"] for step in _steps(part))
    return (_step(described),)


def _step(part: Mapping[str, Any]) -> _Step:
    match part["type"]:
        case "ByteLevel" if not part.get("add_prefix_space"):
            return ("ByteLevel", bool(part.get("use_regex", True)))
        case "Digits":
            return ("Digits", bool(part["individual_digits"]))
        case "Split":
            pattern = part["pattern"]
            return ("Split", pattern.get("Regex", pattern.get("String")), part["behavior"], bool(part["invert"]))
        case other:
            return (other, *(f"{key}={part[key]}" for key in sorted(part) if key != "type"))


def _build(structure: tuple[_Step, ...]) -> PreTokenizer:
    parts = [_describe(step) for step in structure]
    whole = parts[0] if len(parts) == 1 else {"type": "Sequence", "pretokenizers": parts}
    return _from_description(whole)


def _from_description(whole: Mapping[str, Any]) -> PreTokenizer:
    carrier = {"version": "1.0", "pre_tokenizer": whole, "model": {"type": "BPE", "vocab": {}, "merges": []}}
    built: PreTokenizer = Tokenizer.from_str(json.dumps(carrier)).pre_tokenizer
    return built


def _describe(step: _Step) -> dict[str, Any]:
    match step:
        case ("ByteLevel", use_regex):
            return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}
        case ("Digits", individual):
            return {"type": "Digits", "individual_digits": individual}
        case ("Split", pattern, behavior, invert):
            return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}
    raise UnsupportedExportError(f"No pre-tokenizer can be built from {step!r}.")


def _looks_up_words(described: Mapping[str, Any]) -> bool:
    return bool(described["model"].get("ignore_merges"))


def _spell(steps: tuple[_Step, ...]) -> str:
    return " then ".join(f"{step[0]}({', '.join(map(repr, step[1:]))})" for step in steps) or "nothing at all"
