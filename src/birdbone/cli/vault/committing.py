"""Committing the work folder, and telling how it stands to HEAD."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from birdbone.cli import words
from birdbone.cli.errors import UnreadableValueError, UsageError
from birdbone.cli.vault.telling import busy, headline, short_digest
from birdbone.cli.vault.work import (
    Comparison,
    FileChange,
    Work,
    check_not_moved,
    compare_work,
    remember_work,
    store_work,
)
from birdbone.core import Measurement
from birdbone.vault.folder import Vault
from birdbone.vault.history.commits import commit
from birdbone.vault.records import Version
from birdbone.vault.refs.branches import describe_head
from birdbone.vault.refs.lookup import read_manifest, read_version
from birdbone.vault.store.objects import needed_blobs
from birdbone.vault.store.packs import Packs

_FIRST_KIND = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person said to `commit`."""

    message: str
    kind: str | None
    author: str | None
    figures: Path | None
    allow_empty: bool
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a commit came to. `version` is None where nothing was made."""

    branch: str | None
    version: Version | None
    changes: tuple[FileChange, ...]
    left_out: tuple[str, ...]
    size_bytes: int = 0
    added_bytes: int = 0
    is_dry_run: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to commit."""
        return self.version is None and not self.is_dry_run

    def talk(self) -> str:
        """Return what a person should know beside the result."""
        return f"left out: {', '.join(self.left_out)}" if self.left_out else ""

    def in_words(self) -> str:
        """Return it in lines."""
        if self.is_empty:
            return "nothing to commit: the files are as HEAD has them"
        place = self.branch or "detached HEAD"
        changes = [f"  {change.in_words()}" for change in self.changes]
        if self.version is None:
            return "\n".join([f"would commit to {place}:", *(changes or ["  no change"])])
        head = f"[{place} {short_digest(self.version.id)}] {headline(self.version)}"
        sizes = f"  {words.size(self.size_bytes)}, kept in {words.size(self.added_bytes)} more"
        return "\n".join([head, *changes, sizes])

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "branch": self.branch,
            "version": self.version.id if self.version else None,
            "artefact": self.version.artefact if self.version else None,
            "parents": list(self.version.parents) if self.version else [],
            "changes": [asdict(change) for change in self.changes],
            "left_out": list(self.left_out),
            "size_bytes": self.size_bytes,
            "added_bytes": self.added_bytes,
            "is_dry_run": self.is_dry_run,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkStatus:
    """How the work folder stands to HEAD."""

    branch: str | None
    version: str | None
    folder: str
    came_from: str | None
    comparison: Comparison = field(repr=False)

    def in_words(self) -> str:
        """Return it in lines."""
        place = f"On branch {self.branch}" if self.branch else f"HEAD is detached at {short_digest(self.version or '')}"
        lines = [place if self.version else f"{place}; no version yet", f"Work folder: {self.folder}"]
        if self.came_from and self.version and self.came_from != self.version:
            lines.append(f"Its files came from {short_digest(self.came_from)}; HEAD moved on since.")
        changes = self.comparison.changes
        if changes:
            lines += ["", "Not committed:" if self.version else "Files to commit:"]
            lines += [f"  {change.in_words()}" for change in changes]
        else:
            lines += ["", "nothing to commit: the files are as HEAD has them"]
        if self.comparison.left_out:
            lines += ["", f"Left out: {', '.join(self.comparison.left_out)}"]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "branch": self.branch,
            "version": self.version,
            "folder": self.folder,
            "came_from": self.came_from,
            "is_clean": not self.comparison.changes,
            "changes": [asdict(change) for change in self.comparison.changes],
            "left_out": list(self.comparison.left_out),
        }


def commit_work(work: Work, request: Request, *, is_dry_run: bool) -> Committed:
    """Return what came of committing the work folder to what `HEAD` stands for.

    Raises:
        UsageError: no message was given.
        WorkMovedError: `HEAD` moved since the files came from it, and that was not forced.
        and what `put_folder` and `commit` raise.
    """
    if not request.message.strip() and not is_dry_run:
        raise UsageError("A version needs a message.", hint='Say what changed: `-m "wave 1: 10 % of the MLP"`.')
    rows = read_figures(request.figures)
    if not request.force:
        check_not_moved(work)
    head = describe_head(work.vault)
    with busy("comparing the files with HEAD"):
        found = compare_work(work, head.version)
    kind = request.kind or _kind_at(work.vault, head.version)
    is_same = not found.changes and head.version is not None and kind == _kind_at(work.vault, head.version)
    if is_dry_run or (is_same and not request.allow_empty):
        return Committed(
            branch=head.branch, version=None, changes=found.changes, left_out=found.left_out, is_dry_run=is_dry_run
        )
    with busy(f"storing {work.folder}"):
        artefact, stamps = store_work(work, kind=kind, base=head.version)
        version = commit(
            work.vault,
            artefact,
            ref="HEAD",
            message=request.message,
            measurements=on_artefact(rows, artefact),
            author=request.author,
            expected=head.version,
        )
    remember_work(work, version.id, stamps)
    return Committed(
        branch=head.branch,
        version=version,
        changes=found.changes,
        left_out=found.left_out,
        size_bytes=read_manifest(work.vault, artefact).size_bytes,
        added_bytes=added_bytes(work.vault, artefact, head.version),
    )


def describe_work(work: Work) -> WorkStatus:
    """Return how the work folder stands to `HEAD`."""
    head = describe_head(work.vault)
    with busy("comparing the files with HEAD"):
        found = compare_work(work, head.version)
    return WorkStatus(
        branch=head.branch,
        version=head.version,
        folder=str(work.folder if work.only is None else work.folder / work.only),
        came_from=work.state.version if work.state else None,
        comparison=found,
    )


def added_bytes(vault: Vault, artefact: str, before: str | None) -> int:
    """Return what the store holds for an artefact and not for the version before it, in bytes on the disk."""
    with Packs(vault) as packs:
        old = needed_blobs(packs, read_manifest(vault, before).blobs()) if before else set()
        new = needed_blobs(packs, read_manifest(vault, artefact).blobs()) - old
        return sum(packs.find(digest).stored_bytes for digest in new)


def read_figures(path: Path | None) -> list[dict[str, Any]]:
    """Return the rows of a file of figures; none where there is no file.

    Raises:
        UnreadableValueError: it is no JSON list of figures.
    """
    if path is None:
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableValueError(f"{path} cannot be read as JSON: {error}", hint=_FIGURES_HINT) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnreadableValueError(f"{path} is not a list of figures.", hint=_FIGURES_HINT)
    on_artefact(rows, f"b3:{'0' * 64}")  # a wrong one is found before anything is stored
    return rows


def on_artefact(rows: list[dict[str, Any]], artefact: str) -> list[Measurement]:
    """Return rows as figures that were taken on `artefact`, unless they name another.

    Raises:
        UnreadableValueError: a row is not a figure.
    """
    try:
        return [Measurement.model_validate({"artefact": artefact, **row}) for row in rows]
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UnreadableValueError(f"A figure is not right: {place}: {first['msg']}.", hint=_FIGURES_HINT) from error


def _kind_at(vault: Vault, version: str | None) -> str:
    return read_manifest(vault, read_version(vault, version).artefact).kind if version else _FIRST_KIND


_FIGURES_HINT = 'Write such as: [{"name": "perplexity", "value": 12.5, "unit": "1", "method": "held-out text"}].'
