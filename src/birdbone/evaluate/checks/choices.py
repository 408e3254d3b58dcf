"""Items with choices, asked of a judge: the likeliest choice is the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from birdbone.evaluate.benchmarks.judge import Continuation, Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceItem:
    """A beginning and how it may go on."""

    context: str
    choices: tuple[str, ...]
    """At least two; a space that belongs between stands at their beginning."""
    answer: int
    """Place of the right one."""
    kind: str = "given"
    """What made it: a template's name."""
    stands_for: tuple[str, ...] = ()
    """What each choice means where it is but a letter; empty: each means itself."""

    @property
    def right(self) -> str:
        """The right choice."""
        return self.choices[self.answer]

    def meaning(self, place: int) -> str:
        """Return what is meant by the choice in a place."""
        return (self.stands_for or self.choices)[place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a judge thinks of an item's choices."""

    logprobs: tuple[float, ...]
    """One a choice, in nats, after the tokens that all have in common."""

    @property
    def best(self) -> int:
        """Place of the likeliest choice, the first of equals."""
        return self.logprobs.index(max(self.logprobs))

    @property
    def margin_nats(self) -> float:
        """How much likelier it is than the next."""
        first, second = sorted(self.logprobs, reverse=True)[:2]
        return first - second


def ask_choices(judge: Judge, items: Sequence[ChoiceItem]) -> list[Choice | None]:
    """Return what the judge thinks of each item; None where an item does not fit the model.

    Context and choice are read as one text, and cut where the choices' tokens part, so a tokenizer that joins letters
    across the seam changes nothing: all choices of an item are judged after the same tokens.
    """
    asked = [_requests_of(judge, item) for item in items]
    fits = [all(len(one.context) + len(one.tokens) - 1 <= judge.max_tokens for one in requests) for requests in asked]
    answers = iter(
        judge.score([one for requests, is_fit in zip(asked, fits, strict=True) if is_fit for one in requests])
    )
    return [
        Choice(logprobs=tuple(next(answers).logprob for _ in requests)) if is_fit else None
        for requests, is_fit in zip(asked, fits, strict=True)
    ]


def _requests_of(judge: Judge, item: ChoiceItem) -> list[Continuation]:
    wholes = [judge.encode(item.context + choice) for choice in item.choices]
    if _seam(wholes) < 1:
        wholes = [[judge.prefix_token, *whole] for whole in wholes]
    seam = _seam(wholes)
    return [Continuation(tuple(whole[:seam]), tuple(whole[seam:])) for whole in wholes]


def _seam(wholes: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all have in common, leaving at least one of each."""
    common = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*wholes, strict=False))
    return min(sum(1 for _ in common), *(len(whole) - 1 for whole in wholes))
