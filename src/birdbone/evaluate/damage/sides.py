"""A model as one side of a comparison: its logits and its tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from birdbone.evaluate.divergence import LogitsSource, model_logits
from birdbone.models import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Baseline or candidate, whatever engine runs it."""

    logits: LogitsSource
    encode: Callable[[str], list[int]]
    """Ids of a text, without special tokens."""
    decode: Callable[[Sequence[int]], str]
    """Text of ids."""
    prefix_token: int
    """Stands before a text that is judged whole: begin of text, or else end of text, or else the first token."""
    vocab_size: int
    """Width of the logits."""


def side_of(loaded: LoadedModel) -> Side:
    """Return a loaded model as a side; its weights and mode are left as they are.

    Raises:
        UnknownReadoutError: the model's head cannot be run by parts.
    """
    tokenizer = loaded.tokenizer
    named = (tokenizer.bos_token_id, tokenizer.eos_token_id, 0)  # any token will do, as long as it is always the same

    def encode(text: str) -> list[int]:
        return [int(token) for token in tokenizer.encode(text, add_special_tokens=False)]

    def decode(tokens: Sequence[int]) -> str:
        return str(tokenizer.decode(list(tokens), skip_special_tokens=True))

    return Side(
        logits=model_logits(loaded.model),
        encode=encode,
        decode=decode,
        prefix_token=next(int(token) for token in named if token is not None),
        vocab_size=loaded.architecture.vocab_size,
    )
