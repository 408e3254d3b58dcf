"""Two tokenizers on the same texts: the same ids, and the same text back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

_SHOWN_CHARACTERS = 40


class Codec(Protocol):
    """What turns text into ids and back, special tokens left out."""

    @property
    def encode(self) -> Callable[[str], list[int]]:
        """Give the ids of a text."""
        ...

    @property
    def decode(self) -> Callable[[Sequence[int]], str]:
        """Give the text of ids."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenComparison:
    """How alike two tokenizers are on some texts."""

    num_texts: int
    num_other_ids: int
    """Texts whose ids differ."""
    num_other_text: int
    """Texts that come back from the candidate's ids otherwise than from the baseline's."""
    first_difference: str
    """Where the first of either kind is, in words; empty if there is none."""

    @property
    def has_same_ids(self) -> bool:
        """Whether all texts are the same ids to both."""
        return self.num_other_ids == 0


def compare_tokens(baseline: Codec, candidate: Codec, texts: Sequence[str]) -> TokenComparison:
    """Return how the ids of each text, and what is read back from them, differ between two tokenizers.

    Other ids are no damage by themselves: a vocabulary may be renumbered together with the model's rows. Text that
    comes back otherwise is.
    """
    num_other_ids = num_other_text = 0
    first = ""
    for number, text in enumerate(texts):
        ours, theirs = baseline.encode(text), candidate.encode(text)
        back, again = baseline.decode(ours), candidate.decode(theirs)
        if ours != theirs:
            num_other_ids += 1
            first = first or f"text {number} is {len(ours)} tokens to the baseline and {len(theirs)} to the candidate"
        if back != again:
            num_other_text += 1
            first = first or f"text {number} comes back as {_shown(back)} and as {_shown(again)}"
    return TokenComparison(
        num_texts=len(texts), num_other_ids=num_other_ids, num_other_text=num_other_text, first_difference=first
    )


def cut_pieces(texts: Sequence[str], *, num_characters: int) -> list[str]:
    """Return the texts in pieces of about so many characters, cut before spaces; joined again they are the texts.

    A word that is longer than a piece stays whole.
    """
    pieces: list[str] = []
    for text in texts:
        begin = 0
        while begin < len(text):
            end = text.find(" ", begin + num_characters)
            end = len(text) if end < 0 else end
            pieces.append(text[begin:end])
            begin = end
    return pieces


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}...")
