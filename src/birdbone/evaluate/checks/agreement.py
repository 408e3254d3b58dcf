"""Two judges of one model: a folder and its GGUF file, a model and itself saved and loaded again.

Each must read text as the same tokens, give them the same likelihood but for rounding, and so choose the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from birdbone.evaluate.benchmarks.judge import Continuation, Judge
from birdbone.evaluate.checks.choices import Choice, ChoiceItem, ask_choices
from birdbone.evaluate.checks.findings import CheckResult, judged, largest_gap, skipped

_SHOWN_CHARACTERS = 40


def check_same_tokens(one: Judge, other: Judge, texts: Sequence[str]) -> CheckResult:
    """Compare the tokens of each text, special ones left out, and what is read back from them."""
    faults: list[str] = []
    for text in texts:
        mine, theirs = (judge.encode(text, add_special=False) for judge in (one, other))
        if mine != theirs:
            place = _first_difference(mine, theirs)
            faults.append(
                f"{_shown(text)} is {len(mine)} tokens and {len(theirs)}; number {place} is the first to differ."
            )
        elif (back := one.decode(mine)) != (again := other.decode(mine)):
            faults.append(f"The tokens of {_shown(text)} are read back as {_shown(back)} and as {_shown(again)}.")
    good = f"{len(texts)} texts are the same tokens to both."
    return _unless_empty(judged("agreement.tokens", faults, good, num_items=len(texts)), "There was no text.")


def check_same_likelihoods(
    one: Judge, other: Judge, requests: Sequence[Continuation], *, tolerance_nats: float
) -> CheckResult:
    """Compare likelihoods on the same ids; tells the largest difference and where it is.

    Args:
        tolerance_nats: what the number formats of the two may change in one token; a sum may differ by so much a token.
    """
    if not requests:
        return skipped("agreement.likelihoods", "There was no question.")
    mine, theirs = one.score(requests), other.score(requests)
    faults = []
    for number, (request, left, right) in enumerate(zip(requests, mine, theirs, strict=True)):
        gap, _ = largest_gap([(left, right)])
        allowed = tolerance_nats * len(request.tokens)
        if gap > allowed:
            faults.append(
                f"Request {number}, {len(request.tokens)} tokens, has {left.logprob:.6g} and {right.logprob:.6g} nats, "
                f"{gap:.3g} apart; {allowed:.3g} is allowed."
            )
    gap, place = largest_gap(zip(mine, theirs, strict=True))
    figures = {"largest_gap_nats": gap} if gap != float("inf") else {}
    return judged(
        "agreement.likelihoods",
        faults,
        f"{len(requests)} sums differ by {gap:.3g} nats at most, in request {place}.",
        num_items=len(requests),
        largest_gap_request=place,
        **figures,
    )


def check_same_choices(one: Judge, other: Judge, items: Sequence[ChoiceItem], *, tolerance_nats: float) -> CheckResult:
    """Compare the answers to items with choices. Where both hold two choices for nearly equal, either may win.

    Args:
        tolerance_nats: a margin below it is a near tie: a different answer there is a warning.
    """
    asked = list(zip(items, ask_choices(one, items), ask_choices(other, items), strict=True))
    pairs = [(item, mine, theirs) for item, mine, theirs in asked if mine is not None and theirs is not None]
    if not pairs:
        return skipped("agreement.choices", "There was no item that fits both models.")
    parted = [(item, mine, theirs) for item, mine, theirs in pairs if mine.best != theirs.best]
    faults = [
        f"{_shown(item.context)} goes on with {item.choices[mine.best]!r} and with {item.choices[theirs.best]!r}; "
        f"the surer of the two is so by {_surer(mine, theirs):.3g} nats."
        for item, mine, theirs in parted
        if _surer(mine, theirs) >= tolerance_nats
    ]
    good = f"{len(pairs) - len(parted)} of {len(pairs)} items are answered alike."
    figures = {"share_alike": 1 - len(parted) / len(pairs), "num_not_asked": len(items) - len(pairs)}
    result = judged("agreement.choices", faults, good, num_items=len(pairs), **figures)
    if parted and not faults:
        return result.model_copy(update={"outcome": "warn", "reason": f"{good} The others are near ties."})
    return result


def _surer(mine: Choice, theirs: Choice) -> float:
    return max(mine.margin_nats, theirs.margin_nats)


def _first_difference(mine: Sequence[int], theirs: Sequence[int]) -> int:
    pairs = enumerate(zip(mine, theirs, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(mine), len(theirs)))


def _unless_empty(result: CheckResult, reason: str) -> CheckResult:
    return result if result.num_items else skipped(result.name, reason)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}...")
