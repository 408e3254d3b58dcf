"""Likelihoods of whole texts and of their ends, asked in groups: all of an item or nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from birdbone.evaluate.benchmarks.judge import Continuation, Judge, Progress


def whole_text(judge: Judge, text: str) -> Continuation:
    """Return the question how likely a text is, from its first token on."""
    return Continuation((judge.prefix_token,), tuple(judge.encode(text, add_special=False)))


def end_of_text(judge: Judge, begin: str, end: str) -> Continuation:
    """Return the question how likely `end` is after `begin`, both read as one text.

    The cut is where the beginning alone would end, as in lm-eval. A beginning without tokens is the prefix token.
    """
    whole = judge.encode(begin + end)
    seam = min(len(judge.encode(begin)), len(whole) - 1)
    if seam < 1:
        return Continuation((judge.prefix_token,), tuple(whole))
    return Continuation(tuple(whole[:seam]), tuple(whole[seam:]))


def fits(judge: Judge, request: Continuation) -> bool:
    """Return whether the model takes a request; the last token is only a target."""
    return len(request.context) + len(request.tokens) - 1 <= judge.max_tokens


def score_groups(
    judge: Judge, groups: Sequence[Sequence[Continuation]], *, progress: Progress | None = None
) -> list[tuple[float, ...] | None]:
    """Return the log-likelihoods of each group in nats, None where one of its requests does not fit the model.

    Raises:
        NonFiniteLogitsError: a likelihood is NaN or infinite.
    """
    has_room = [all(fits(judge, request) for request in group) for group in groups]
    asked = [request for group, is_fit in zip(groups, has_room, strict=True) if is_fit for request in group]
    answers = iter(judge.score(asked, progress=progress) if asked else [])
    return [
        tuple(next(answers).logprob for _ in group) if is_fit else None
        for group, is_fit in zip(groups, has_room, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Answers to one prompt, told apart by how likely each is per byte of its text."""

    prompt: str
    answers: tuple[str, ...]
    """A space that belongs between stands at their beginning."""


def choose_answers(judge: Judge, questions: Sequence[Options], *, progress: Progress | None = None) -> list[int | None]:
    """Return the place of the likeliest answer to each question, the first of equals; None where it does not fit.

    The log-likelihood is divided by the answer's bytes, since the sum prefers what is short (lm-eval's `acc_norm`).
    """
    groups = [[end_of_text(judge, one.prompt, answer) for answer in one.answers] for one in questions]
    found = score_groups(judge, groups, progress=progress)
    return [
        None
        if scores is None
        else _best([score / len(text.encode()) for score, text in zip(scores, one.answers, strict=True)])
        for one, scores in zip(questions, found, strict=True)
    ]


def _best(scores: Sequence[float]) -> int:
    return scores.index(max(scores))
