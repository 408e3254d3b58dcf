"""Kinds of token by their spelling, so that it can be said what a unit answers to."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

TOKEN_CLASSES = ("word start", "word rest", "number", "punctuation", "space", "other")
"""A letter after a space, letters that go on, digits, signs, blanks and line ends, and what is none of these."""

_BLANKS = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n", "ĉ": "\t", "č": "\r"})


def classify_piece(piece: str) -> str:
    """Return the class of a token as a vocabulary spells it; byte-level and SentencePiece marks of a space count."""
    text = piece.translate(_BLANKS)
    letters = text.strip()
    if not letters:
        return "space"
    if letters.isdigit():
        return "number"
    if letters[0].isalpha():
        return "word start" if text[0].isspace() else "word rest"
    return "other" if any(letter.isalnum() for letter in letters) else "punctuation"


def classify_pieces(pieces: Sequence[str], *, special_ids: Collection[int] = ()) -> Int[Tensor, " V"]:
    """Return the index in `TOKEN_CLASSES` of every token of a vocabulary; special tokens are "other"."""
    index = {name: number for number, name in enumerate(TOKEN_CLASSES)}
    special = set(special_ids)
    return torch.tensor(
        [index["other" if token in special else classify_piece(piece)] for token, piece in enumerate(pieces)]
    )


def classify_vocabulary(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> Int[Tensor, " V"]:
    """Return the class of every row of the embedding; rows beyond the vocabulary are "other"."""
    pieces: list[str] = [piece or "" for piece in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))]
    class_V = classify_pieces(pieces[:vocab_size], special_ids=tokenizer.all_special_ids)
    rest_R = torch.full((vocab_size - len(class_V),), TOKEN_CLASSES.index("other"))
    return torch.cat([class_V, rest_R])
