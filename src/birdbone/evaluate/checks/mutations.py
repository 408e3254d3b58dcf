"""Changes to a text that leave its meaning: typos, case, white space, words by rule, a beginning beside the point.

Each is a pure function of the text and the generator it is given, and has a law: what it may touch.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from birdbone.evaluate.checks.choices import ChoiceItem

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    letter: [row[at] for at in (place - 1, place + 1) if 0 <= at < len(row)]
    for row in _KEYS
    for place, letter in enumerate(row)
}

REWRITES: tuple[tuple[str, str], ...] = (
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("did not", "didn't"),
    ("is not", "isn't"),
    ("are not", "aren't"),
    ("was not", "wasn't"),
    ("cannot", "can't"),
    ("will not", "won't"),
    ("I am", "I'm"),
    ("it is", "it's"),
    ("they are", "they're"),
    ("which of the following", "which one of these"),
    ("in order to", "to"),
    ("a lot of", "many"),
    ("because of", "due to"),
    ("such as", "like"),
    ("for example", "for instance"),
    ("near", "close to"),
    ("large", "big"),
    ("begin", "start"),
    ("begins", "starts"),
    ("quickly", "fast"),
    ("I saw", "I have seen"),
)
"""Each says the same as the other, or nearly; read from left to right only."""

_NEUTRAL = (
    "The weather was mild that day.",
    "A clock on the wall showed the time.",
    "The room had a table and two chairs.",
    "Outside, a cart went down the road.",
    "The page before this one was left empty.",
)


def add_typos(text: str, draw: random.Random, *, max_edits: int = 1) -> str:
    """Return the text with up to `max_edits` slips inside words, no two in one word.

    A slip swaps two letters, leaves one out, doubles one, or hits the next key; the first letter of a word stays, and
    so does all that is no ASCII letter, so a text without a word of three letters stays as it is.
    """
    words = list(re.finditer(r"[A-Za-z]{3,}", text))
    for word in sorted(draw.sample(words, min(max_edits, len(words))), key=re.Match.start, reverse=True):
        text = text[: word.start()] + _slip(word[0], draw) + text[word.end() :]
    return text


def change_case(text: str, draw: random.Random) -> str:
    """Return the text in capitals, in small letters, or each letter as chance has it. No letter becomes another."""
    want = draw.choice((str.isupper, str.islower, lambda _: draw.random() < 0.5))
    return "".join(letter if want(letter) else _other_case(letter) for letter in text)


def change_spaces(text: str, draw: random.Random) -> str:
    """Return the text with other white space between its words; none is added where there was none, or at its ends."""
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    if begin >= end:
        return text
    inside = re.sub(r"\s+", lambda _: draw.choice(("  ", "\n", "\t", "   ", " \n ")), text[begin:end])
    return text[:begin] + inside + text[end:]


def paraphrase(text: str, draw: random.Random, *, max_rewrites: int = 2) -> str:
    """Return the text with up to `max_rewrites` phrases of `REWRITES` replaced, a capital at their beginning kept."""
    for phrase, rewrite in draw.sample(REWRITES, len(REWRITES)):
        if max_rewrites == 0:
            break
        found = re.search(rf"\b{re.escape(phrase)}\b", text, flags=re.IGNORECASE)
        if found is not None:
            text = text[: found.start()] + _capital_of(found[0], rewrite) + text[found.end() :]
            max_rewrites -= 1
    return text


def put_preamble(text: str, draw: random.Random, *, num_characters: int = 200) -> str:
    """Return the text after plain sentences that have nothing to do with it, of about so many characters."""
    sentences: list[str] = []
    while sum(map(len, sentences)) + len(sentences) < num_characters:
        sentences.append(draw.choice(_NEUTRAL))
    return " ".join([*sentences, text]) if sentences else text


MUTATIONS: Mapping[str, Callable[[str, random.Random], str]] = {
    "typos": add_typos,
    "case": change_case,
    "white_space": change_spaces,
    "paraphrase": paraphrase,
    "long_input": put_preamble,
}
"""Those of a text, by name."""


def reorder_choices(item: ChoiceItem, draw: random.Random) -> ChoiceItem:
    """Return the item with every choice in another place; which text is right stays."""
    shift = draw.randint(1, len(item.choices) - 1)
    order = [*range(shift, len(item.choices)), *range(shift)]
    return replace(item, choices=tuple(item.choices[place] for place in order), answer=order.index(item.answer))


def list_choices(item: ChoiceItem) -> ChoiceItem:
    """Return the item asked by letters: its choices stand in the text, and the answer is a letter."""
    letters = [chr(ord("A") + place) for place in range(len(item.choices))]
    lines = [f"{letter}.{choice}" for letter, choice in zip(letters, _spaced(item.choices), strict=True)]
    context = "\n".join([f"{item.context} ...", *lines, "Answer:"])
    named = tuple(f" {letter}" for letter in letters)
    return replace(item, context=context, choices=named, stands_for=item.choices)


def put_examples(item: ChoiceItem, examples: list[str]) -> ChoiceItem:
    """Return the item after finished examples, a line each."""
    return replace(item, context="\n".join([*examples, item.context]))


def _slip(word: str, draw: random.Random) -> str:
    place = draw.randrange(1, len(word) - 1)
    before, letter, after = word[:place], word[place], word[place + 1 :]
    match draw.choice(("swap", "leave out", "double", "next key")):
        case "swap":
            return before + after[0] + letter + after[1:]
        case "leave out":
            return before + after
        case "double":
            return before + letter + letter + after
        case _:
            near = draw.choice(_NEIGHBOURS[letter.lower()])
            return before + (near.upper() if letter.isupper() else near) + after


def _other_case(letter: str) -> str:
    """Return the letter in the other case, where that is one letter and the way back leads to this one."""
    other = letter.swapcase()
    return other if len(other) == 1 and other.swapcase() == letter else letter


def _capital_of(found: str, new: str) -> str:
    return new[0].upper() + new[1:] if found[0].isupper() else new


def _spaced(choices: tuple[str, ...]) -> list[str]:
    return [choice if choice.startswith(" ") else f" {choice}" for choice in choices]
