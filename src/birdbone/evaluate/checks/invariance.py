"""What may not change an answer: asking again, other questions beside it, their order, where a text is cut in two."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from birdbone.evaluate.benchmarks.judge import Continuation, Judge, Likelihood
from birdbone.evaluate.checks.findings import CheckResult, judged, largest_gap, skipped
from birdbone.evaluate.checks.probes import longest_request

_PADDING_TOKENS = 64


def check_determinism(judge: Judge, requests: Sequence[Continuation], *, tolerance_nats: float = 0.0) -> CheckResult:
    """Ask the same questions twice.

    Args:
        tolerance_nats: 0 where the engine promises the same bits each time.
    """
    answers = {"the second time": judge.score(requests)}
    return _compare("invariance.determinism", judge.score(requests), answers, tolerance_nats=tolerance_nats)


def check_company(
    judge: Judge, requests: Sequence[Continuation], *, tolerance_nats: float, seed: int = 0
) -> CheckResult:
    """Ask each question alone, then all at once, in other orders, twice each, and beside one that is much longer.

    Args:
        tolerance_nats: what rounding may change in the sum of a continuation.
        seed: of the order.
    """
    alone = [judge.score([request])[0] for request in requests]
    order = random.Random(seed).sample(range(len(requests)), len(requests))
    shuffled = judge.score([requests[number] for number in order])
    longer = longest_request(judge, num_tokens=min(judge.max_tokens, _PADDING_TOKENS))
    return _compare(
        "invariance.company",
        alone,
        {
            "in company": judge.score(requests),
            "backwards": judge.score(requests[::-1])[::-1],
            "in another order": [shuffled[order.index(number)] for number in range(len(requests))],
            "beside itself": judge.score([*requests, *requests])[len(requests) :],
            "beside a longer one": judge.score([longer, *requests])[1:],
        },
        tolerance_nats=tolerance_nats,
    )


def check_prefixes(
    judge: Judge, requests: Sequence[Continuation], *, tolerance_nats: float, seed: int = 0
) -> CheckResult:
    """Cut each continuation in two: log p(ab | c) must be log p(a | c) + log p(b | ca).

    Args:
        requests: those of one token cannot be cut, and are left out.
        tolerance_nats: what rounding may change in the sum.
        seed: of the places.
    """
    draw = random.Random(seed)
    longer = [request for request in requests if len(request.tokens) > 1]
    if not longer:
        return skipped("invariance.prefixes", "No continuation has two tokens.")
    cuts = [draw.randint(1, len(request.tokens) - 1) for request in longer]
    pairs = list(zip(longer, cuts, strict=True))
    firsts = judge.score([Continuation(request.context, request.tokens[:cut]) for request, cut in pairs])
    seconds = judge.score(
        [Continuation((*request.context, *request.tokens[:cut]), request.tokens[cut:]) for request, cut in pairs]
    )
    sums = [
        Likelihood(first.logprob + second.logprob, first.is_greedy and second.is_greedy)
        for first, second in zip(firsts, seconds, strict=True)
    ]
    return _compare("invariance.prefixes", judge.score(longer), {"in two parts": sums}, tolerance_nats=tolerance_nats)


def _compare(
    name: str, plain: Sequence[Likelihood], others: Mapping[str, Sequence[Likelihood]], *, tolerance_nats: float
) -> CheckResult:
    """Return whether each of the other ways to ask gave the plain answers; a changed choice alone is a warning."""
    if not plain:
        return skipped(name, "There was no question.")
    faults: list[str] = []
    figures: dict[str, float] = {}
    flipped = 0
    for way, answers in others.items():
        gap, place = largest_gap(zip(plain, answers, strict=True))
        flipped += sum(one.is_greedy != other.is_greedy for one, other in zip(plain, answers, strict=True))
        if gap != float("inf"):
            figures[f"largest_gap_nats_{way.replace(' ', '_')}"] = gap
        if gap > tolerance_nats:
            faults.append(
                f"Request {place} has {plain[place].logprob:.6g} nats, and {way} {answers[place].logprob:.6g}: "
                f"{gap:.3g} apart where {tolerance_nats:.3g} is allowed."
            )
    good = f"{len(plain)} answers stay within {tolerance_nats:.3g} nats, {', '.join(others)}."
    result = judged(name, faults, good, num_items=len(plain), num_greedy_changed=flipped, **figures)
    if flipped and not faults:
        reason = f"{good} Yet {flipped} times the most likely token changed: a near tie."
        return result.model_copy(update={"outcome": "warn", "reason": reason})
    return result
