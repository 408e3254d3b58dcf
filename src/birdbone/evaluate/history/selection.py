"""Which records a name means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath

from birdbone.evaluate.history.records import Record

_MIN_DIGITS = 6
_REF_FOLDERS = ("refs/heads/", "refs/tags/", "refs/remotes/")


def records_of(records: Iterable[Record], name: str, *, versions: Iterable[str] = ()) -> list[Record]:
    """Return the records that `name` means, in their order.

    Args:
        name: a model's name or a path that ends in it, a ref, or six or more of the first hex digits of a record, an
            artefact or a version.
        versions: ids of versions of the vault; their records are meant as well.
    """
    wanted = set(versions)
    return [record for record in records if record.subject.version in wanted or _is_called(record, name)]


def newest_figures(records: Sequence[Record]) -> list[Record]:
    """Return of the artefact that was judged last the newest record of each question, oldest first.

    A question in another engine or number format is another one.
    """
    if not records:
        return []
    ordered = sorted(records, key=lambda record: record.taken_at)
    artefact = ordered[-1].subject.artefact
    newest = {_question(record): record for record in ordered if record.subject.artefact == artefact}
    return sorted(newest.values(), key=lambda record: record.taken_at)


def _is_called(record: Record, name: str) -> bool:
    subject = record.subject
    if name == subject.model or (name and PurePath(name).name == subject.model):
        return True
    if subject.ref is not None and name in (
        subject.ref,
        *(subject.ref.removeprefix(folder) for folder in _REF_FOLDERS),
    ):
        return True
    digits = name.removeprefix("b3:")
    if len(digits) < _MIN_DIGITS:
        return False
    digests = (record.id, subject.artefact, subject.version or "")
    return any(digest.removeprefix("b3:").startswith(digits) for digest in digests)


def _question(record: Record) -> tuple[object, ...]:
    if record.evidence is None:
        return tuple((figure.name, figure.method) for figure in record.measurements)
    return (record.evidence.asked, tuple(sorted(record.evidence.settings.items())))
