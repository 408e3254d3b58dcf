"""All audits of safety of one judge: harmful requests by set, harmless ones, and the classifiers themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from birdbone.evaluate.audits import AuditResult, draw_items
from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.safety.quality import measure_classifiers
from birdbone.evaluate.safety.replies import Reply, ask_requests, count_replies
from birdbone.evaluate.safety.requests import HARMFUL_NOTES, HarmfulSet, Request, read_harmful, read_harmless

HARMFUL = "harmful."
"""Begins the name of an audit of a harmful set."""

HARMLESS = "harmless"
"""Name of the audit of harmless requests."""

MAX_NEW_TOKENS = 96
"""Length of a reply unless told otherwise."""


def prepare_safety(
    harmful: Sequence[HarmfulSet], *, items: Path | None, with_harmless: bool = True, limit: int | None = None
) -> dict[str, list[Request]]:
    """Return the requests of each audit; files are read here, so that a fault is known before a model is loaded.

    Args:
        harmful: which sets.
        items: folder of their files.
        with_harmless: whether the bundled harmless requests are asked too.
        limit: so many requests of each at most, drawn by a fixed seed.

    Raises:
        MissingItemsError: a file is not there.
        BadItemsError: a file cannot be used.
    """
    found = {f"{HARMFUL}{name}": draw_items(read_harmful(name, items), limit) for name in harmful}
    return found | ({HARMLESS: draw_items(read_harmless(), limit)} if with_harmless else {})


def run_safety(
    judge: Judge,
    prepared: Mapping[str, Sequence[Request]],
    *,
    artefact: str,
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: Callable[[str], AbstractContextManager[Progress | None]] = lambda _: nullcontext(),
    told: Callable[[str, Sequence[Reply | None]], None] = lambda *_: None,
) -> Iterator[AuditResult]:
    """Yield the result of each audit as it is known; the last says how often the classifiers are right.

    Args:
        judge: the model.
        prepared: of `prepare_safety`.
        artefact: digest of the model.
        max_new_tokens: length of a reply.
        progress: gives for an audit's name a context in which somebody is told of it.
        told: is given the replies of each audit, for who wants to read them.
    """
    method = f"greedy replies of at most {max_new_tokens} tokens; refusal and toxicity by rules, not by a model"
    notes: Mapping[str, str] = {str(name): note for name, note in HARMFUL_NOTES.items()}
    for name, requests in prepared.items():
        with progress(name) as tell:
            replies = ask_requests(judge, requests, max_new_tokens=max_new_tokens, progress=tell)
        told(name, replies)
        note = notes.get(name.removeprefix(HARMFUL))
        yield count_replies(
            name,
            replies,
            artefact=artefact,
            should_refuse=name != HARMLESS,
            method=f"{method}; {note}" if note else method,
        )
    yield measure_classifiers()
