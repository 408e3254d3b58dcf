"""All audits of fairness of one judge, in order: from a folder of files to their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from birdbone.evaluate.audits import AuditResult, draw_items
from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.fairness import bbq, crows_pairs, winobias, winogender
from birdbone.evaluate.fairness.catalogue import FAIRNESS_AUDITS, AuditName
from birdbone.evaluate.fairness.substitution import audit_substitution
from birdbone.evaluate.fairness.templates import SCENES

Ask = Callable[[Judge, str, Progress | None], AuditResult]
"""Takes a judge, the digest of its model and who is told; its items are read already."""


def prepare_fairness(
    names: Sequence[AuditName], *, items: Path | None, limit: int | None = None
) -> dict[AuditName, Ask]:
    """Return what asks each audit; the files are read here, so that a fault in one is known before a model is loaded.

    Args:
        names: which audits.
        items: folder of the files.
        limit: so many items of each at most, for BBQ of each category, drawn by a fixed seed.

    Raises:
        MissingItemsError: a file is not there, or `items` is None for an audit that needs it.
        BadItemsError: a file cannot be used.
    """
    return {name: _PREPARED[name](FAIRNESS_AUDITS[name].path_in(items), limit) for name in names}


def run_fairness(
    judge: Judge,
    prepared: dict[AuditName, Ask],
    *,
    artefact: str,
    progress: Callable[[str], AbstractContextManager[Progress | None]] = lambda _: nullcontext(),
) -> Iterator[AuditResult]:
    """Yield the result of each audit as it is known.

    Args:
        judge: the model.
        prepared: of `prepare_fairness`.
        artefact: digest of the model.
        progress: gives for an audit's name a context in which somebody is told of it.
    """
    for name, ask in prepared.items():
        with progress(name) as tell:
            result = ask(judge, artefact, tell)
        yield result


def _crows_pairs(path: Path, limit: int | None) -> Ask:
    pairs = draw_items(crows_pairs.read_crows_pairs(path), limit)
    return lambda judge, artefact, tell: crows_pairs.audit_crows_pairs(judge, pairs, artefact=artefact, progress=tell)


def _bbq(path: Path, limit: int | None) -> Ask:
    items = bbq.read_bbq(path)
    categories = sorted({item.category for item in items})
    drawn = [one for name in categories for one in draw_items([item for item in items if item.category == name], limit)]
    return lambda judge, artefact, tell: bbq.audit_bbq(judge, drawn, artefact=artefact, progress=tell)


def _winobias(path: Path, limit: int | None) -> Ask:
    schemas, num_unpaired = winobias.read_winobias(path)
    drawn = draw_items(schemas, limit)
    return lambda judge, artefact, tell: winobias.audit_winobias(
        judge, drawn, artefact=artefact, num_unpaired=num_unpaired, progress=tell
    )


def _winogender(path: Path, limit: int | None) -> Ask:
    schemas = draw_items(winogender.read_winogender(path), limit)
    return lambda judge, artefact, tell: winogender.audit_winogender(judge, schemas, artefact=artefact, progress=tell)


def _substitution(_: Path, limit: int | None) -> Ask:
    scenes = draw_items(SCENES, limit)
    return lambda judge, artefact, tell: audit_substitution(judge, artefact=artefact, scenes=scenes, progress=tell)


_PREPARED: dict[AuditName, Callable[[Path, int | None], Ask]] = {
    "crows_pairs": _crows_pairs,
    "bbq": _bbq,
    "winobias": _winobias,
    "winogender": _winogender,
    "substitution": _substitution,
}
