"""Answers graded by another model, by how likely it finds each grade. What it would write is never read.

A pair is asked in both orders and the two are averaged, as judges prefer the answer in one place whatever it says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.custom.items import Item
from birdbone.evaluate.custom.prompts import Fitting, chat_tokens, pair_tokens
from birdbone.evaluate.custom.scoring import JudgedScoring
from birdbone.evaluate.custom.templates import fill
from birdbone.evaluate.errors import BadTaskError

_RUBRIC = (
    "Question:\n{{prompt}}\n\nAnswer:\n{{response}}\n\n"
    "How good is the answer, from {worst} (useless) to {best} (right and complete)?\nGrade:"
)
_PAIR_RUBRIC = (
    "Question:\n{prompt}\n\nAnswer A:\n{first}\n\nAnswer B:\n{second}\n\n"
    "Which answer is better, A or B?\nBetter answer:"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grader:
    """The model that judges, not yet open."""

    name: str
    artefact: str
    """Digest of its files."""
    settings: Mapping[str, Any]
    """Engine and number format."""
    open: Callable[[], AbstractContextManager[Judge]]


def grade_all(
    grader: Judge,
    scoring: JudgedScoring,
    items: Sequence[Item],
    responses: Sequence[str],
    *,
    fitting: Fitting,
    progress: Progress | None,
) -> list[float]:
    """Return a score from 0 (the worst grade for sure) to 1 (the best) for each response.

    With a scale it is the mean of the grades, weighed by their likelihood; with a reference, the probability that the
    response is better than it, the mean of both orders.

    Source: Liu et al. 2023, arXiv:2303.16634, eq. 1 (the weighed grade; symbols: s_i = grade, p(s_i) = its likelihood
    among the grades); Wang et al. 2023, arXiv:2305.17926, section 4.2 (both orders, "balanced position calibration").

    Raises:
        BadTaskError: to the judge's tokenizer one grade is the beginning of another.
        NoChatTemplateError: it is to be asked in a conversation and knows none.
    """
    rubrics = [rubric for item, text in zip(items, responses, strict=True) for rubric in _rubrics(scoring, item, text)]
    asked = [
        fitting.continuation(context, tokens, "the rubric")
        for rubric in rubrics
        for context, tokens in _label_tokens(grader, scoring, rubric)
    ]
    told = [found.logprob for found in grader.score(asked, progress=progress)]
    size = len(scoring.labels)
    shares = [_softmax(told[start : start + size]) for start in range(0, len(told), size)]
    if scoring.reference is None:
        return [_mean_grade(share) for share in shares]
    return [(shares[at][0] + shares[at + 1][1]) / 2 for at in range(0, len(shares), 2)]


def _rubrics(scoring: JudgedScoring, item: Item, response: str) -> list[str]:
    """Return what the judge is asked of a response: of a pair twice, the response as A, then as B."""
    known = {**item.values, "prompt": item.prompt, "response": response}
    if scoring.reference is None:
        text = scoring.rubric or _RUBRIC.format(worst=_escaped(scoring.scale[0]), best=_escaped(scoring.scale[-1]))
        return [fill(text, known.__getitem__)]
    other = item.values[scoring.reference]
    orders = ({"first": response, "second": other}, {"first": other, "second": response})
    return [fill(scoring.rubric or _PAIR_RUBRIC, (known | order).__getitem__) for order in orders]


def _label_tokens(grader: Judge, scoring: JudgedScoring, rubric: str) -> list[tuple[list[int], list[int]]]:
    if scoring.judge_chat:
        context = chat_tokens(grader, [{"role": "user", "content": rubric}])
        pairs = [(context, grader.encode(label, add_special=False)) for label in scoring.labels]
    else:
        pairs = [pair_tokens(grader, rubric, f" {label}") for label in scoring.labels]
    _require_apart([tuple(tokens) for _, tokens in pairs], scoring.labels)
    return pairs


def _require_apart(tokens: Sequence[tuple[int, ...]], labels: Sequence[str]) -> None:
    """Refuse grades of which one begins another, as "1" begins "10": its likelihood would hold both."""
    for one, label in zip(tokens, labels, strict=True):
        for other, longer in zip(tokens, labels, strict=True):
            if label != longer and other[: len(one)] == one:
                raise BadTaskError(
                    f"To the judge the grade {label!r} is the beginning of {longer!r}, so it cannot be told from it.",
                    hint="Use grades of one letter or digit, such as 1 to 5.",
                )


def _softmax(logprobs: Sequence[float]) -> list[float]:
    peak = max(logprobs)
    weights = [math.exp(logprob - peak) for logprob in logprobs]
    return [weight / sum(weights) for weight in weights]


def _mean_grade(shares: Sequence[float]) -> float:
    return min(1.0, sum(place * share for place, share in enumerate(shares)) / (len(shares) - 1))


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
