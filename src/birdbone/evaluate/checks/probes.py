"""Questions that any model can be asked: a page of plain text, cut into contexts and continuations by a seed."""

from __future__ import annotations

import random

from birdbone.evaluate.benchmarks.judge import Continuation, Judge

PAGE = (
    "The bones of a bird are hollow, and yet they carry it across an ocean. Thin walls stand where the load is, and "
    "air is where it is not. A young bird tries its wings for weeks before it leaves the nest; then one morning it "
    "steps off the branch and does not fall. In 1891 a man built a glider of willow and cotton and flew 25 metres "
    "down a hill. He wrote: to design a machine is little, to build it is more, to fly it is everything."
)
"""Written for this purpose, so in no model's training data word for word."""

_MAX_CONTEXT = 24
_MAX_ANSWER = 8


def draw_requests(judge: Judge, *, seed: int, count: int) -> list[Continuation]:
    """Return `count` requests of mixed lengths, some with a context in common; the same for the same seed.

    Each fits a model that takes 32 tokens, and a smaller one by shorter contexts.
    """
    draw = random.Random(seed)
    page = judge.encode(PAGE, add_special=False)
    longest = max(1, min(_MAX_CONTEXT, judge.max_tokens - _MAX_ANSWER))
    contexts = [(judge.prefix_token, *_slice(page, draw, longest - 1)) for _ in range(max(1, count // 2))]
    room = max(1, min(_MAX_ANSWER, judge.max_tokens - longest + 1))
    return [Continuation(draw.choice(contexts), _slice(page, draw, room, least=1)) for _ in range(count)]


def longest_request(judge: Judge, *, num_tokens: int, num_judged: int = 1) -> Continuation:
    """Return a request that the engine has to read `num_tokens` tokens for, the last `num_judged` of its size judged.

    The last token is only a target, so context and continuation together are one token more.
    """
    page = judge.encode(PAGE, add_special=False)
    ids = (judge.prefix_token, *(page[place % len(page)] for place in range(num_tokens)))
    return Continuation(ids[: num_tokens + 1 - num_judged], ids[num_tokens + 1 - num_judged :])


def _slice(page: list[int], draw: random.Random, longest: int, *, least: int = 0) -> tuple[int, ...]:
    length = draw.randint(min(least, longest), longest)
    start = draw.randint(0, max(0, len(page) - length))
    return tuple(page[start : start + length])
