"""What the commands that look back print."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from birdbone.cli import output, shelf, words
from birdbone.cli.errors import NoVersionError, UsageError
from birdbone.cli.vault.telling import (
    charset,
    headline,
    plain,
    refs_by_version,
    short_digest,
    version_json,
    version_line,
    version_lines,
)
from birdbone.vault.diff.names import ManifestDiff, diff_manifests
from birdbone.vault.errors import BadNameError, UnknownNameError
from birdbone.vault.folder import Vault
from birdbone.vault.history.annotate import Annotation, annotate
from birdbone.vault.history.commits import log
from birdbone.vault.names import BRANCHES, HEAD
from birdbone.vault.query import draw_log, take_snapshot
from birdbone.vault.records import Version
from birdbone.vault.refs.branches import describe_head
from birdbone.vault.refs.lookup import read_manifest, read_version, resolve
from birdbone.vault.refs.notes import list_notes
from birdbone.vault.refs.refs import RefMove, read_ref, read_reflog, refs


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A version and the refs that point at it."""

    version: Version
    refs: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return version_json(self.version, self.refs)


def check_has_version(vault: Vault, name: str) -> None:
    """Do nothing unless `name` begins at a HEAD that has no version yet.

    Raises:
        NoVersionError: it does.
    """
    if name.startswith((HEAD, "@")) and read_ref(vault, HEAD) is None:
        raise NoVersionError(f"{describe_head(vault).branch or HEAD} has no version yet.")


def find_versions(vault: Vault, name: str | None, *, limit: int | None) -> list[Listed]:
    """Return the versions of a range, or, of None, all that refs reach; an empty store has none."""
    pointing = refs_by_version(vault)
    if name is None:
        found = list(take_snapshot(vault).versions.values())[:limit]
    elif name == HEAD and not refs(vault) and read_ref(vault, HEAD) is None:
        found = []
    else:
        check_has_version(vault, name)
        found = log(vault, name, limit=limit)
    return [Listed(version=version, refs=tuple(pointing.get(version.id, ()))) for version in found]


def log_lines(found: Sequence[Listed], *, is_short: bool) -> list[str]:
    """Return the lines of a log: one a version, or several with an empty line between two."""
    if is_short:
        return [version_line(entry.version, entry.refs) for entry in found]
    blocks = [[*version_lines(entry.version, entry.refs), ""] for entry in found]
    return [line for block in blocks for line in block][:-1]


def drawn_log(vault: Vault, name: str | None, *, limit: int | None) -> list[str]:
    """Return the history as lines of a drawing; of None, everything that refs reach.

    Raises:
        UsageError: a range was given; a drawing begins from one version.
    """
    if name is not None and ".." in name:
        raise UsageError(f"A drawing begins from a version; {name} is a range.", hint="Leave out `--graph`, or A.. .")
    if name == HEAD and read_ref(vault, HEAD) is None:
        return []
    if name is not None:
        check_has_version(vault, name)
    tips = [] if name is None else [resolve(vault, name)]
    snapshot = take_snapshot(vault, scope="refs" if name is None else "all")
    return [str(line) for line in draw_log(snapshot, names=tips, limit=limit, charset=charset())]


def describe_version(vault: Vault, name: str) -> dict[str, Any]:
    """Return what `shelf.describe` does, and for a version its refs, its notes and what changed since its parent."""
    check_has_version(vault, name)
    found = shelf.describe(vault, name)
    version = found["version"]
    if version is None:
        return found
    parent = version["parents"][0] if version["parents"] else None
    return found | {
        "refs": refs_by_version(vault).get(version["id"], []),
        "notes": [{"id": note.id, **note.model_dump(mode="json")} for note in list_notes(vault, version["id"])],
        "changes": asdict(_changes(vault, version["id"], parent)) if parent else None,
    }


def print_description(found: dict[str, Any]) -> None:
    """Print what `describe_version` found."""
    output.data_console().print(shelf.description(found))
    if found.get("refs"):
        output.print_line(f"refs: {', '.join(found['refs'])}")
    if found.get("changes"):
        output.print_line("\n".join(change_lines(found["changes"])))
    for note in found.get("notes", ()):
        output.print_line(f"note {short_digest(note['id'])} by {note['author']}: {plain(note['text'])}")


def change_lines(changes: dict[str, dict[str, Sequence[str]]]) -> list[str]:
    """Return what changed by name since the first parent: numbers of tensors, names of files."""
    tensors = changes["tensors"]
    counts = [f"{len(tensors[what])} {what}" for what in ("added", "removed", "changed") if tensors[what]]
    lines = [f"since its parent: tensors {', '.join(counts) or 'unchanged'}, {len(tensors['same'])} the same"]
    for what in ("added", "removed", "changed"):
        lines += [f"  {what:<8} {path}" for path in changes["files"][what]]
    return lines


def moves_of(vault: Vault, ref: str) -> list[RefMove]:
    """Return the moves of a ref, newest first.

    Raises:
        UnknownNameError: there is no such ref, and never was.
    """
    full = next((name for name in (f"refs/tags/{ref}", ref) if read_reflog_of(vault, name)), ref)
    moves = read_reflog_of(vault, full)
    if not moves and ref != HEAD and read_ref(vault, ref) is None:
        raise UnknownNameError(f"No ref is called {ref!r}, and none was.", name=ref)
    return moves[::-1]


def read_reflog_of(vault: Vault, name: str) -> list[RefMove]:
    """Return the moves of a ref by a name that may be none."""
    try:
        return read_reflog(vault, HEAD if name == "@" else name)
    except BadNameError:
        return []


def move_line(move: RefMove, ref: str, back: int) -> str:
    """Return a move in a line."""
    where = short_digest(move.new) if move.new else "deleted"
    reason = re.sub(r"b3:([0-9a-f]{10})[0-9a-f]{54}", r"\1", plain(next(iter(move.reason.splitlines()), "")))
    return f"{where:<10} {ref}@{{{back}}}: {reason.replace(BRANCHES, '')} ({move.author})"


def find_annotations(vault: Vault, name: str, *, patterns: Sequence[str]) -> list[Annotation]:
    """Return which version last changed each tensor and file that one of the patterns matches; none: all."""
    check_has_version(vault, name)
    found = annotate(vault, name)
    return [entry for entry in found if not patterns or any(fnmatch.fnmatchcase(entry.name, each) for each in patterns)]


def annotation_json(entry: Annotation) -> dict[str, Any]:
    """Return an annotation as plain data."""
    version = entry.version
    return {
        "kind": entry.kind,
        "name": entry.name,
        "version": version.id,
        "author": version.author,
        "time": version.time.isoformat(),
        "message": version.message,
    }


def annotation_line(entry: Annotation) -> str:
    """Return an annotation in a line, the name last, as it may be long."""
    version = entry.version
    about = headline(version)
    about = about if len(about) <= _ABOUT else f"{about[: _ABOUT - 1]}…"
    return f"{short_digest(version.id)} {words.moment(version.time)[:10]} {about:<{_ABOUT}} {entry.name}"


_ABOUT = 20


def _changes(vault: Vault, version: str, parent: str) -> ManifestDiff:
    sides = [read_manifest(vault, read_version(vault, each).artefact) for each in (parent, version)]
    return diff_manifests(sides[0], sides[1])
