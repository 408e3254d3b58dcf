"""Notes: text attached to a version after the fact; the version's id does not change.

A version's notes are one append-only file, `refs/notes/<its digits>.jsonl`, a line a note. A note is named by the
digest of its line, so two stores' notes of a version are united by uniting lines. Taking a note away appends a
tombstone; the text stays in the file for whoever must know what was said. Each line is in the audit first. A tombstone
counts wherever it stands, also before its note: so whatever the order in which lines of other stores come, the same
notes are left.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from birdbone.core.digest import digest_bytes
from birdbone.core.schema import Strict
from birdbone.vault.errors import AmbiguousNameError, BadNoteError, CorruptObjectError, UnknownNameError
from birdbone.vault.folder import Vault, explain_write_errors, hold_lock, sync_folder
from birdbone.vault.journal import append_line, canonical_line, parse_line, read_journal
from birdbone.vault.names import NOTES, Digest
from birdbone.vault.refs.audit_log import append_entry, read_entries
from birdbone.vault.refs.lookup import resolve
from birdbone.vault.refs.permissions import Level, check_level, identify, read_settings
from birdbone.vault.store.objects import has_object

MAX_NOTE_CHARACTERS = 65_536  # a note is read whole each time; what is longer is a document, and belongs in an artefact
_MIN_PREFIX = 6


class Note(Strict):
    """A text on a version; or, where `removes` is set, the word that another note is taken away."""

    format: Literal["birdbone.note/1"] = "birdbone.note/1"
    """Generation of this record."""
    version: Digest
    """The version that it is about."""
    text: str = Field(min_length=1, max_length=MAX_NOTE_CHARACTERS)
    """What is said; of a tombstone, why."""
    author: str
    """Who says it."""
    time: AwareDatetime
    """When, in UTC."""
    removes: Digest | None = None
    """The note that this one takes away."""

    @property
    def id(self) -> str:
        """The note's name: the digest of its line."""
        return digest_bytes(line_of_note(self))


def add_note(vault: Vault, name: str, text: str, *, author: str | None = None, time: dt.datetime | None = None) -> Note:
    """Return the note that was attached to the version that `name` means; it is durable then.

    Raises:
        UnknownNameError: there is no such version.
        BadNoteError: the text is empty, too long, or has no UTF-8 form.
        AccessDeniedError: the identity may not write `refs/notes/…`.
    """
    note = _new_note(version=resolve(vault, name), text=text, author=identify(author), time=time)
    with hold_lock(vault):
        _check_may_write(vault, note, needs="write", identity=note.author)
        _append(vault, note, author=note.author, reason="note")
    return note


def remove_note(vault: Vault, note_id: str, *, reason: str = "removed", author: str | None = None) -> Note:
    """Return the tombstone of the note with this id (or six or more of its first digits), which is listed no more.

    Raises:
        UnknownNameError: there is no such note, or it was taken away before.
        AccessDeniedError: it is somebody else's, and the identity is not an admin.
    """
    author = identify(author)
    with hold_lock(vault):
        note = read_note(vault, note_id)
        tombstone = _new_note(version=note.version, text=reason, author=author, time=None, removes=note.id)
        _check_may_write(vault, tombstone, needs="write" if note.author == author else "admin", identity=author)
        _append(vault, tombstone, author=author, reason="note")
    return tombstone


def unite_notes(
    vault: Vault, notes: Iterable[Note], *, reason: str, author: str | None = None, checks_removals: bool = False
) -> list[Note]:
    """Return those of `notes`, tombstones among them, that this store lacked, after they were put beside its own.

    One on a version that the store does not have is left out. Doing it again does nothing, and the order makes no
    difference to what `list_notes` gives.

    Args:
        reason: how they came, for the audit.
        author: the identity that brings them; what is checked is its level, not that of who wrote them.
        checks_removals: let only an admin bring the removal of a note by somebody else than who removes it.

    Raises:
        AccessDeniedError: the identity may not write one of them; none was written.
    """
    author = identify(author)
    with hold_lock(vault):
        known = {note.id: note for note in list_notes(vault, with_removed=True)}
        given = {note.id: note for note in notes}
        fresh = [
            note
            for note_id, note in given.items()
            if note_id not in known and has_object(vault, "versions", note.version)
        ]
        for note in fresh:
            removed = given.get(note.removes or "") or known.get(note.removes or "")
            is_foreign = note.removes is not None and (removed is None or removed.author != note.author)
            needs: Level = "admin" if checks_removals and is_foreign else "write"
            _check_may_write(vault, note, needs=needs, identity=author)
        for note in sorted(fresh, key=lambda note: (note.removes is None, note.time)):  # none is seen that was removed
            _append(vault, note, author=author, reason=reason)
    return fresh


def list_notes(vault: Vault, name: str | None = None, *, with_removed: bool = False) -> list[Note]:
    """Return the notes of a version (of all versions if none is given), oldest first.

    Args:
        with_removed: removed notes and their tombstones too.

    Raises:
        CorruptObjectError: a file of notes is damaged.
    """
    versions = _noted(vault) if name is None else [resolve(vault, name)]
    found = sorted((note for version in versions for note in _read_file(vault, version)), key=lambda note: note.time)
    removed = {note.removes for note in found}
    return found if with_removed else [note for note in found if not note.removes and note.id not in removed]


def vouched_notes(vault: Vault) -> list[Note]:
    """Return all notes, removed ones and tombstones too, as they may go to another store: the audit knows each.

    Raises:
        CorruptObjectError: a file of notes is damaged, or one of them was altered since it was written down.
    """
    notes = list_notes(vault, with_removed=True)
    known = {entry.new for entry in read_entries(vault) if entry.ref.startswith(NOTES)} if notes else set()
    if altered := [note.id for note in notes if note.id not in known]:
        raise CorruptObjectError(f"The audit knows nothing of the note {altered[0]}.", hint=_HINT_NOTE, notes=altered)
    return notes


def read_note(vault: Vault, note_id: str) -> Note:
    """Return the note with this id, or whose digits begin so.

    Raises:
        UnknownNameError: there is none, or it was removed.
        AmbiguousNameError: several begin so.
    """
    digits = note_id.removeprefix("b3:")
    found = [note for note in list_notes(vault) if note.id[3:].startswith(digits)]
    if len(digits) < _MIN_PREFIX or not found:
        raise UnknownNameError(f"No note is called {note_id!r}.", hint="`list_notes` gives their ids.", name=note_id)
    if len(found) > 1:
        raise AmbiguousNameError(f"{len(found)} notes begin with {digits!r}.", name=note_id)
    return found[0]


def noted_versions(vault: Vault) -> list[str]:
    """Return the versions that have a note which was not removed: a collection of garbage keeps them."""
    return sorted({note.version for note in list_notes(vault)})


def note_ref(version: str) -> str:
    """Return what the audit and the permissions call the notes of a version."""
    return f"{NOTES}{version.removeprefix('b3:')}"


def line_of_note(note: Note) -> bytes:
    """Return the line that a note is, without its newline."""
    return canonical_line(note.model_dump(mode="json"))


def parse_note(line: bytes, *, name: str) -> Note:
    """Return the note on a line of what is called `name`.

    Raises:
        CorruptObjectError: it is not a note in its one form.
    """
    try:
        note = Note.model_validate(parse_line(line))
    except ValidationError as error:
        raise CorruptObjectError(f"{name} holds a line that is not a note.", hint=_HINT_NOTE) from error
    if line_of_note(note) != line:
        raise CorruptObjectError(f"{name} holds a note that was altered.", hint=_HINT_NOTE)
    return note


def _check_may_write(vault: Vault, note: Note, *, needs: Level, identity: str) -> None:
    check_level(read_settings(vault), note_ref(note.version), needs=needs, identity=identity)


def _append(vault: Vault, note: Note, *, author: str, reason: str) -> None:
    path = _path_of(vault, note.version)
    torn = read_journal(path).torn
    act = f"{reason}: removes {note.removes}" if note.removes else reason
    append_entry(vault, ref=note_ref(note.version), old=None, new=note.id, author=author, reason=act)
    with explain_write_errors(path):
        if not path.parent.exists():
            path.parent.mkdir()
            sync_folder(vault.refs)
    append_line(path, line_of_note(note), torn=torn)


def _new_note(*, version: str, text: str, author: str, time: dt.datetime | None, removes: str | None = None) -> Note:
    moment = (time or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    try:
        text.encode()
        return Note(version=version, text=text, author=author, time=moment, removes=removes)
    except ValidationError as error:
        raise BadNoteError(f"A note needs a text: {error.errors()[0]['msg']}.") from error
    except UnicodeEncodeError as error:
        raise BadNoteError("The text of a note has no UTF-8 form.") from error


def _read_file(vault: Vault, version: str) -> list[Note]:
    path = _path_of(vault, version)
    return [parse_note(line, name=path.name) for line in read_journal(path).lines]


def _noted(vault: Vault) -> list[str]:
    return sorted(f"b3:{path.stem}" for path in (vault.refs / "notes").glob("*.jsonl") if not path.name.startswith("."))


def _path_of(vault: Vault, version: str) -> Path:
    return vault.refs / "notes" / f"{version.removeprefix('b3:')}.jsonl"


_HINT_NOTE = "Take the damaged line out of the file; `verify_audit` says which notes the audit knows."
