"""Does an exported file read text as the model's own tokenizer does? Asked of both, on thousands of awkward strings."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from birdbone.models.llamacpp.engine import LlamaCpp

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase  # what only runs llama.cpp needs no transformers

_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…—–“”‘’«»¿¡"
_SPACES = " \t\n\r\v\f\u00a0\u2003\u2009\u200a\u3000"
_EMOJI = "😀😂🥹🤖👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇫🇷❤️☃️🧬🐦🪶🦴"
_COMBINING = "\u0300\u0301\u0308\u0327\u030a\u0323\u0483\u05b0\u064b\u093c\u0e31\u20dd"
_SNIPPETS = (
    "def f(x):\n\treturn x**2 + 1\n",
    "for (int i = 0; i < n; ++i) { sum += a[i]; }",
    "SELECT * FROM t WHERE x >= 10;",
    '{"key": [1, 2.5e-3, null, true]}',
    "<div class='a'>&nbsp;</div>",
    "x = \\frac{a}{b} \\cdot \\sqrt{2}",
    "https://example.org/path?q=1&r=%20#top",
    "it's we're I'll they'd you've I'm DON'T IT'S",
)
_LOOK_ALIKES = (
    "<|",
    "|>",
    "<s>",
    "</s>",
    "[INST]",
    "<unk>",
    "<|im_start",
    "im_end|>",
    "<0x0A>",
    "▁",
    "Ġ",
    "Ċ",
    "[PAD1]",
)
_SCRIPTS = {
    "latin": (0x0041, 0x024F),
    "greek_cyrillic": (0x0370, 0x052F),
    "hebrew_arabic": (0x0590, 0x06FF),
    "indic": (0x0900, 0x0DFF),
    "thai_lao": (0x0E00, 0x0EFF),
    "kana": (0x3040, 0x30FF),
    "han": (0x4E00, 0x9FFF),
    "hangul": (0xAC00, 0xD7A3),
    "numbers": (0x2150, 0x218F),
    "symbols": (0x2190, 0x27BF),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMismatch:
    """A string that the two tokenizers read differently."""

    text: str
    expected: tuple[int, ...]
    """By the model's own tokenizer."""
    found: tuple[int, ...]
    """By llama.cpp, from the exported file."""
    unknown_bytes: bytes
    """Bytes of the text that the vocabulary has no token for. Both tokenizers lose them, and there they may part: the
    model's own drops the byte and may then merge its neighbours, llama.cpp merges first. Empty: a true disagreement."""


def compare_tokenizers(
    engine: LlamaCpp, tokenizer: PreTrainedTokenizerBase, strings: Sequence[str]
) -> list[TokenMismatch]:
    """Return the strings whose ids differ; empty is the proof that the export reads text as the model does.

    Control tokens in a string are read as themselves on both sides; nothing is put around it.
    """
    missing = _bytes_without_token(tokenizer)
    mismatches = []
    for text, expected in zip(strings, _encode_all(tokenizer, strings), strict=True):
        found = engine.tokenize(text, parse_special=True)
        if found != expected:
            lost = bytes(byte for byte in text.encode() if byte in missing)
            mismatches.append(
                TokenMismatch(text=text, expected=tuple(expected), found=tuple(found), unknown_bytes=lost)
            )
    return mismatches


def probe_strings(count: int, *, seed: int, texts: Sequence[str], special_tokens: Sequence[str] = ()) -> list[str]:
    """Return `count` strings, the same for the same seed: real text, and all that a tokenizer may stumble over.

    Args:
        texts: real text to cut slices from; at least one that is not empty.
        special_tokens: the tokenizer's own control tokens, to be strewn into text.
    """
    draw = random.Random(seed)
    makers = _makers(draw, [text for text in texts if text], (*_LOOK_ALIKES, *special_tokens))
    return [makers[index % len(makers)]() for index in range(count)]


def _bytes_without_token(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the bytes that a byte-level vocabulary has no token for; empty where the vocabulary is of another kind."""
    vocabulary = tokenizer.get_vocab()
    if _byte_letter(ord(" ")) not in vocabulary:
        return frozenset()
    return frozenset(byte for byte in range(256) if _byte_letter(byte) not in vocabulary)


def _byte_letter(byte: int) -> str:
    """Return the letter that stands for a byte in a byte-level vocabulary: itself where it prints, else from U+0100."""
    if _is_printed(byte):
        return chr(byte)
    return chr(256 + sum(not _is_printed(lower) for lower in range(byte)))


def _is_printed(byte: int) -> bool:
    return 33 <= byte <= 126 or (161 <= byte <= 255 and byte != 173)


def _encode_all(tokenizer: PreTrainedTokenizerBase, strings: Sequence[str]) -> list[list[int]]:
    return [list(ids) for ids in tokenizer(list(strings), add_special_tokens=False)["input_ids"]]


def _makers(draw: random.Random, texts: Sequence[str], markers: Sequence[str]) -> list[Callable[[], str]]:
    def real_text() -> str:
        text = draw.choice(texts)
        start = draw.randrange(len(text))
        return text[start : start + draw.randint(1, 200)]

    def sprinkled() -> str:
        words = real_text().split(" ")
        words.insert(draw.randint(0, len(words)), draw.choice(markers))
        return draw.choice((" ", "")).join(words)

    return [
        real_text,
        lambda: real_text().swapcase(),
        sprinkled,
        lambda: _number(draw),
        lambda: _run(draw, _PUNCTUATION, 12),
        lambda: _run(draw, _SPACES, 10) + real_text()[:20] + _run(draw, _SPACES, 6),
        lambda: _run(draw, _EMOJI, 8),
        lambda: _in_script(draw),
        lambda: "".join(letter + _run(draw, _COMBINING, 2) for letter in real_text()[:15]),
        lambda: draw.choice(_SNIPPETS)[draw.randint(0, 8) :],
        lambda: "".join(chr(draw.randrange(0, 0xA0)) for _ in range(draw.randint(1, 20))),
        lambda: "".join(_any_character(draw) for _ in range(draw.randint(1, 20))),
    ]


def _number(draw: random.Random) -> str:
    digits = str(draw.randrange(10 ** draw.randint(1, 18)))
    shapes = (digits, f" {digits}", f"{digits[:3]},{digits[3:]}", f"-{digits}.{digits[:2]}", f"{digits}e{digits[:1]}")
    return draw.choice((*shapes, f"  {digits}  {digits[:2]}", f"x{digits}y", f"{digits}½²Ⅳ٣"))


def _run(draw: random.Random, alphabet: str, longest: int) -> str:
    return "".join(draw.choice(alphabet) for _ in range(draw.randint(0, longest)))


def _in_script(draw: random.Random) -> str:
    first, last = _SCRIPTS[draw.choice(sorted(_SCRIPTS))]
    return "".join(draw.choice(("", "", " ")) + chr(draw.randint(first, last)) for _ in range(draw.randint(1, 25)))


def _any_character(draw: random.Random) -> str:
    while True:
        character = chr(draw.randrange(0x110000))
        if unicodedata.category(character) != "Cs":
            return character
