"""The ends of what a model takes: nothing, one token, all it can hold and one more, and text that few have seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from birdbone.evaluate.benchmarks.judge import Continuation, Judge
from birdbone.evaluate.checks.findings import (
    ENGINE_ERRORS,
    CheckOutcome,
    CheckResult,
    fault_of,
    judged,
    skipped,
    words_of,
)
from birdbone.evaluate.checks.probes import longest_request
from birdbone.evaluate.errors import BadRequestError

MAX_PROBED_TOKENS = 4096
"""Longer contexts are not filled unless asked for: attention's memory grows with the square."""

UNUSUAL_TEXTS: Mapping[str, str] = {
    "combining marks": "e\u0301 a\u0308\u0323 n\u0303\u0303\u0303",
    "composed and not": "\u00e9 and e\u0301",
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 abc \u202eabc\u202c",
    "joined emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd",
    "replacement character": "bird\ufffdbone",
    "NUL": "bird\x00bone",
    "control characters": "a\x01\x1b[0m\x7fb",
    "zero width": "bird\u200bbone\ufeff",
    "last code points": "\uffff \U0010ffff",
    "white space": "a\u00a0b\u2003c\u3000d\r\ne\tf",
    "a word of 300 letters": "bone" * 75,
}
"""By what is unusual in them. None holds a surrogate: those are no text."""

_NUM_REPEATED = 256


def check_shortest(judge: Judge) -> CheckResult:
    """Look at the empty text and at one token: the first is refused as a question, the second has a likelihood."""
    token = judge.encode("a", add_special=False)[:1] or [judge.end_token]
    one = (judge.prefix_token,)
    faults = [*_faults_of_nothing(judge)]
    faults += _refusal_faults(judge, Continuation((), one), "A request without a context")
    faults += _refusal_faults(judge, Continuation(one, ()), "A request without tokens")
    faults += _faults(judge, Continuation(one, tuple(token)), "One token")
    good = "The empty text has no tokens and is refused as a question; one token has a likelihood."
    return judged("edges.shortest", faults, good, num_items=4)


def check_longest(judge: Judge, *, max_probed_tokens: int = MAX_PROBED_TOKENS) -> CheckResult:
    """Look at exactly as many tokens as the model takes, and at one more, which must be refused by its own error.

    Args:
        max_probed_tokens: a model that takes more is not looked at, to spare memory.
    """
    most = judge.max_tokens
    if most > max_probed_tokens:
        return skipped(
            "edges.longest", f"The model takes {most} tokens; no more than {max_probed_tokens} were to be filled."
        )
    faults: list[str] = []
    for num_judged in sorted({1, max(1, most // 2)}):
        fitting = longest_request(judge, num_tokens=most, num_judged=num_judged)
        faults += _faults(judge, fitting, f"All {most} tokens, {num_judged} of them judged,")
        longer = longest_request(judge, num_tokens=most + 1, num_judged=num_judged)
        faults += _refusal_faults(judge, longer, f"{most + 1} tokens, one more than the model takes,", named=most)
    good = f"{most} tokens are answered, {most + 1} are refused clearly."
    return judged("edges.longest", faults, good, num_items=4, max_tokens=most)


def check_unusual_texts(
    judge: Judge, texts: Mapping[str, str] = UNUSUAL_TEXTS, *, must_be_exact: bool = False
) -> CheckResult:
    """Look at unusual texts: a finite likelihood, and a way to tokens and back that ends where it says.

    Every tokenizer promises that what came back once comes back again unchanged; one of bytes promises more: that it
    is the text itself.

    Args:
        texts: by a name for each.
        must_be_exact: the tokenizer promises the text itself; else what it loses is a warning.
    """
    faults: list[str] = []
    lost: list[str] = []
    for name, text in texts.items():
        try:
            faults += _faults_of_text(judge, name, text)
            if judge.decode(judge.encode(text, add_special=False)) != text:
                lost.append(name)
        except ENGINE_ERRORS as error:
            faults.append(f"{name.capitalize()}: {words_of(error)}")
    if lost and must_be_exact:
        faults.append(f"Lost on the way to tokens and back: {', '.join(lost)}.")
    result = judged(
        "edges.unusual_texts",
        faults,
        f"{len(texts)} unusual texts are read, judged and given back.",
        num_items=len(texts),
        share_exact=1 - len(lost) / max(1, len(texts)),
    )
    return _warned(result, f"Lost on the way to tokens and back: {', '.join(lost)}.") if lost else result


def check_repeated(judge: Judge, *, num_repeated: int = _NUM_REPEATED) -> CheckResult:
    """Look at texts of one token alone, over and over: likelihoods stay finite."""
    page = judge.encode("a the 1 .\n", add_special=False)
    tokens = sorted({*page, judge.end_token, judge.prefix_token})
    count = max(1, min(num_repeated, judge.max_tokens))
    faults = [
        fault
        for token in tokens
        for fault in _faults(judge, Continuation((token,), (token,) * count), f"Token {token}, {count + 1} times,")
    ]
    good = f"{len(tokens)} tokens, each {count + 1} times on end, have finite likelihoods."
    return judged("edges.repeated", faults, good, num_items=len(tokens), num_repeated=count)


def _faults_of_nothing(judge: Judge) -> Iterator[str]:
    try:
        ids, text = judge.encode("", add_special=False), judge.decode([])
    except ENGINE_ERRORS as error:
        yield f"The empty text: {words_of(error)}"
        return
    if ids:
        yield f"The empty text has {len(ids)} tokens."
    if text:
        yield f"No tokens are read as {text!r}."


def _faults_of_text(judge: Judge, name: str, text: str) -> Iterator[str]:
    ids = judge.encode(text, add_special=False)
    back = judge.decode(ids)
    again = judge.decode(judge.encode(back, add_special=False))
    if again != back:
        yield f"{name.capitalize()}: what came back as {back!r} comes back as {again!r} the second time."
    if ids:
        asked = Continuation((judge.prefix_token,), tuple(ids[: judge.max_tokens]))
        yield from _faults(judge, asked, name.capitalize())


def _faults(judge: Judge, request: Continuation, what: str) -> Iterator[str]:
    """Yield what is wrong with the answer to a question that has one."""
    try:
        (likelihood,) = judge.score([request])
    except ENGINE_ERRORS as error:
        yield f"{what} is not answered: {words_of(error)}"
        return
    if fault := fault_of(likelihood):
        yield f"{what}: {fault}."


def _refusal_faults(judge: Judge, request: Continuation, what: str, *, named: int | None = None) -> Iterator[str]:
    """Yield what is wrong with the refusal of a question that has no answer; `named` is a figure it must tell."""
    try:
        judge.score([request])
    except BadRequestError as error:
        if named is not None and str(named) not in str(error):
            yield f"{what} is refused without the limit being named: {error}"
    except ENGINE_ERRORS as error:
        yield f"{what} is refused by {words_of(error)}"
    else:
        yield f"{what} is answered and not refused."


def _warned(result: CheckResult, reason: str) -> CheckResult:
    outcome: CheckOutcome = "warn"
    return result if result.outcome == "fail" else result.model_copy(update={"outcome": outcome, "reason": reason})
