"""The one interface through which a model is asked, whatever engine runs it. Tokens in, log-probabilities out.

Every engine sees the same token ids for the same text, so prompts are identical by construction; what differs between
two engines is arithmetic alone. An engine that cannot give the log-probability of each token is refused when it is
opened: nothing is ever scored at chance for the want of a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

Progress = Callable[[int, int], None]
"""Is told how many requests are answered, of how many."""


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


@dataclass(frozen=True, slots=True)
class Continuation:
    """Tokens whose likelihood after others is asked for."""

    context: tuple[int, ...]
    """What stands before; at least one token."""
    tokens: tuple[int, ...]
    """What is to be judged; at least one token."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """What a model thinks of a continuation."""

    logprob: float
    """Sum of the log-probabilities of its tokens, in nats."""
    is_greedy: bool
    """Whether each of them is the most likely one in its place."""


class Judge(Protocol):
    """A model that can be asked."""

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """What its answers may depend on beside the model: engine, number format. Part of the key of the cache."""
        ...

    @property
    def max_tokens(self) -> int:
        """Longest sequence it takes."""
        ...

    @property
    def prefix_token(self) -> int:
        """What stands before a text without a context: the beginning-of-text token, or else the end-of-text one."""
        ...

    @property
    def end_token(self) -> int:
        """The end-of-text token."""
        ...

    def encode(self, text: str, *, add_special: bool | None = None) -> list[int]:
        """Return the ids of a text; None for `add_special` leaves special tokens to the tokenizer."""
        ...

    def encode_chat(self, conversation: Sequence[Message]) -> list[int] | None:
        """Return the ids of a conversation in the model's chat template, up to where the reply begins; None without.

        Raises:
            NoChatTemplateError: the template refuses the conversation.
        """
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        ...

    def score(self, requests: Sequence[Continuation], *, progress: Progress | None = None) -> list[Likelihood]:
        """Return the likelihood of each continuation, in their order.

        Raises:
            BadRequestError: a request has no context or no tokens, or is longer than `max_tokens`.
            NonFiniteLogitsError: a likelihood is NaN or infinite.
        """
        ...

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        stops: Sequence[str],
        max_new_tokens: int,
        progress: Progress | None = None,
    ) -> list[str]:
        """Return the greedy continuation of each prompt, cut before the first of `stops`."""
        ...


def cut_at(text: str, stops: Sequence[str]) -> str:
    """Return `text` up to the first of `stops` in it."""
    ends = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text
