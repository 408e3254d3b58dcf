"""Whether the audit is whole, and the refs, the notes and the settings stand where it says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from birdbone.vault.errors import ReadOnlyVaultError, VaultError
from birdbone.vault.folder import Vault, hold_lock
from birdbone.vault.journal import read_journal
from birdbone.vault.names import BRANCHES, HEAD, NOTES, SETTINGS
from birdbone.vault.refs.audit_log import AuditEntry, AuditFault, AuditTip, audit_tip, check_chain, parse_entry
from birdbone.vault.refs.notes import list_notes, note_ref
from birdbone.vault.refs.permissions import read_settings_file, settings_digest
from birdbone.vault.refs.refs import read_present


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What `verify_audit` found. Only `faults` are faults; the rest is what crashes leave, and is said.

    `torn` is a piece of a line at the end, which nobody was told was written. `num_beyond_tip` counts whole lines
    after the last one that was answered for. `cut_off` names refs that stand where they stood before their last move.
    """

    num_lines: int
    faults: tuple[AuditFault, ...]
    torn: str
    num_beyond_tip: int
    cut_off: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether no line was changed, removed, put in or reordered, and nothing moved past the log."""
        return not self.faults

    @property
    def first_broken_line(self) -> int | None:
        """The first line that is at fault, counted from 1; None if no line is."""
        return next((fault.line for fault in self.faults if fault.line), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """The log, and what it tells of, at one moment."""

    lines: tuple[bytes, ...]
    torn: bytes
    tip: AuditTip | None
    values: dict[str, str | None]
    notes: dict[str, str]
    faults: list[AuditFault]


def verify_audit(vault: Vault, *, witness: AuditTip | None = None) -> AuditReport:
    """Return whether the log is as it was written, and refs, notes and settings are as their last moves left them.

    Args:
        witness: what `audit_tip` gave at some time and was kept elsewhere; the log must still pass through it.
    """
    seen = _take_snapshot(vault)
    tips = [tip for tip in (seen.tip, witness) if tip]
    entries = [entry for line in seen.lines if (entry := parse_entry(line))]
    last = {entry.ref: entry for entry in entries if not entry.ref.startswith(NOTES)}
    faults = [*check_chain(seen.lines, tips=tips), *seen.faults]
    faults += [*_check_tip_is_there(seen), *_check_values(last, seen.values), *_check_notes(entries, seen.notes)]
    return AuditReport(
        num_lines=len(seen.lines),
        faults=tuple(faults),
        torn=seen.torn.decode("utf-8", "replace"),
        num_beyond_tip=max(len(seen.lines) - (seen.tip.num_lines if seen.tip else 0), 0),
        cut_off=tuple(ref for ref, entry in last.items() if _is_cut_off(entry, seen.values.get(ref))),
    )


def _take_snapshot(vault: Vault) -> _Snapshot:
    faults: list[AuditFault] = []
    values: dict[str, str | None] = {}
    notes: dict[str, str] = {}
    tip = None
    with _read_locked(vault):
        journal = read_journal(vault.reflog)
        values.update(read_present(vault))
        with _noting(faults):
            tip = audit_tip(vault)
        with _noting(faults):
            values[SETTINGS] = settings_digest(read_settings_file(vault))
        with _noting(faults):
            notes.update((note.id, note_ref(note.version)) for note in list_notes(vault, with_removed=True))
    return _Snapshot(lines=journal.lines, torn=journal.torn, tip=tip, values=values, notes=notes, faults=faults)


@contextlib.contextmanager
def _read_locked(vault: Vault) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ReadOnlyVaultError):  # who may only look must do without the lock
            stack.enter_context(hold_lock(vault))
        yield


@contextlib.contextmanager
def _noting(faults: list[AuditFault]) -> Iterator[None]:
    try:
        yield
    except VaultError as error:
        faults.append(AuditFault(line=None, message=error.message))


def _check_tip_is_there(seen: _Snapshot) -> Iterator[AuditFault]:
    if seen.tip is None and len(seen.lines) > 1:  # one line may be of a crash before the first tip
        yield AuditFault(line=None, message="The tip of the log is gone, and perhaps its last lines with it.")


def _check_values(last: Mapping[str, AuditEntry], values: Mapping[str, str | None]) -> Iterator[AuditFault]:
    for ref in sorted({*last, *values}):
        entry, value = last.get(ref), values.get(ref)
        told = entry.new if entry else _FRESH.get(ref)
        if value != told and not _is_cut_off(entry, value):
            held = value or "nothing"
            yield AuditFault(line=None, message=f"{ref} holds {held[:80]}; the log says {told or 'nothing'}.")


def _is_cut_off(entry: AuditEntry | None, value: str | None) -> bool:
    """Return whether a crash explains the value. Older settings do no harm: those that the tip names hold."""
    return entry is not None and value == entry.old


def _check_notes(entries: Iterable[AuditEntry], notes: Mapping[str, str]) -> Iterator[AuditFault]:
    known = {(entry.new, entry.ref) for entry in entries}
    for note, ref in notes.items():
        if (note, ref) not in known:
            yield AuditFault(line=None, message=f"{ref} has the note {note}, of which the log knows nothing.")


_FRESH = {HEAD: f"ref: {BRANCHES}main"}
