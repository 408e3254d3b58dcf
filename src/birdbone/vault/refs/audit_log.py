"""The append-only audit, `refs/reflog.jsonl`: every move of a ref, `HEAD`, a note or the settings, in a chain.

Theory of operation. Each line is canonical JSON and ends its chain value: the BLAKE3 of the chain value of the line
before it and of the line without its own. So a line that was changed, taken out, put in or moved breaks the chain
there. What a chain cannot show is that its last lines are gone: beside the log lies its tip (how many lines, how many
bytes, the last chain value), replaced atomically after each line. A line is written before what it tells of happens:

    line in the log, flushed  ->  tip, flushed  ->  the ref itself, flushed

A crash between two arrows leaves a line more than the tip knows, or a line whose move never happened; both are told
apart from damage. The settings of the refs hold from the tip on, whatever their file says. Nobody's acknowledged move
is ever without its line. Whoever can rewrite log, tip and refs together can still forge all of it; a tip kept elsewhere
(`audit_tip`) shows that too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from birdbone.core.digest import digest_bytes
from birdbone.core.files import write_atomically
from birdbone.core.schema import Strict
from birdbone.vault.errors import CorruptObjectError
from birdbone.vault.folder import Vault, explain_write_errors
from birdbone.vault.journal import append_line, canonical_line, parse_line, read_journal
from birdbone.vault.names import SETTINGS, Digest

_GENESIS = digest_bytes(b"birdbone.audit/1")  # what the first line follows


class AuditEntry(Strict):
    """One line: what was moved, from where to where, by whom and why."""

    at: str
    """When, ISO 8601 in UTC."""
    ref: str
    """Full name of a ref, `HEAD`, `refs/notes/<digits of a version>`, `refs/overrides/<run>` or `refs/settings`."""
    old: str | None
    """What it held before: a version, a branch (`ref: refs/heads/main`), a digest of settings; None for nothing."""
    new: str | None
    """What it holds from then on."""
    author: str
    """Whose identity was checked."""
    reason: str
    """Why."""
    detail: dict[str, JsonValue] | None = None
    """What else belongs to it: the settings as they became."""
    chain: Digest
    """The chain value that this line ends."""


class AuditTip(Strict):
    """Where the log ended when it was last written to. Kept somewhere else, it is a witness against the whole store."""

    num_lines: int = Field(ge=1)
    """Lines in the log."""
    size_bytes: int = Field(ge=1)
    """Bytes in the log."""
    chain: Digest
    """The chain value of the last line."""
    settings: Digest | None = None
    """The settings of the refs that hold; None for those of a fresh store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFault:
    """One thing that is wrong with the audit. `line` counts from 1; None where no line is at fault."""

    line: int | None
    message: str


def append_entry(
    vault: Vault,
    *,
    ref: str,
    old: str | None,
    new: str | None,
    author: str,
    reason: str,
    detail: dict[str, JsonValue] | None = None,
) -> None:
    """Write a line down durably, before what it tells of happens. The caller holds the lock."""
    end = _find_end(vault)
    at = dt.datetime.now(dt.UTC).isoformat()
    fields: dict[str, Any] = {"at": at, "ref": ref, "old": old, "new": new, "author": author, "reason": reason}
    if detail is not None:
        fields["detail"] = detail
    chain = _chain_value(end.chain, fields)
    size_bytes = append_line(vault.reflog, canonical_line(fields | {"chain": chain}), torn=end.torn)
    settings = new if ref == SETTINGS else end.settings
    tip = AuditTip(num_lines=end.num_lines + 1, size_bytes=size_bytes, chain=chain, settings=settings)
    with explain_write_errors(vault.refs), write_atomically(_tip_path(vault)) as stream:
        stream.write(tip.model_dump_json().encode())


def read_entries(vault: Vault) -> list[AuditEntry]:
    """Return every line that can be read, oldest first; whether the log is whole is for `check_chain` to say."""
    entries = (parse_entry(line) for line in read_journal(vault.reflog).lines)
    return [entry for entry in entries if entry]


def parse_entry(line: bytes) -> AuditEntry | None:
    """Return the entry on a line, or None if the line is not one in its canonical form."""
    value = parse_line(line)
    try:
        return AuditEntry.model_validate(value) if value and canonical_line(value) == line else None
    except ValueError:  # another shape, or a number that is not finite
        return None


def audit_tip(vault: Vault) -> AuditTip | None:
    """Return where the log ends, or None if nothing was ever written to it.

    Raises:
        CorruptObjectError: the tip cannot be read.
    """
    try:
        return AuditTip.model_validate_json(_tip_path(vault).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise CorruptObjectError(f"{_tip_path(vault).name} is not the tip of an audit.", hint=_HINT_TIP) from error


def check_chain(lines: Sequence[bytes], *, tips: Sequence[AuditTip]) -> Iterator[AuditFault]:
    """Yield what is wrong with the lines of a log: broken links in their order, then the tips that do not fit."""
    before: str | None = _GENESIS
    is_unbroken = True
    for number, line in enumerate(lines, start=1):
        entry = parse_entry(line)
        if entry is None:
            is_unbroken = False
            yield AuditFault(line=number, message="The line is not an entry of the audit in its canonical form.")
        elif before is not None and entry.chain != _chain_value(before, _without_chain(line)):
            is_unbroken = False
            yield AuditFault(line=number, message="The line is not what was written after the line before it.")
        before = entry.chain if entry else None
    for tip in tips:
        yield from _check_tip(lines, tip, has_sizes=is_unbroken)


def _check_tip(lines: Sequence[bytes], tip: AuditTip, *, has_sizes: bool) -> Iterator[AuditFault]:
    if tip.num_lines > len(lines):
        yield AuditFault(line=None, message=f"{tip.num_lines} lines were written; the log has {len(lines)}.")
        return
    entry = parse_entry(lines[tip.num_lines - 1])
    if entry is None or entry.chain != tip.chain:
        yield AuditFault(line=tip.num_lines, message="The log did not end so when it had this many lines.")
    elif has_sizes and sum(len(line) + 1 for line in lines[: tip.num_lines]) != tip.size_bytes:
        yield AuditFault(line=tip.num_lines, message=f"The log did not have {tip.size_bytes} bytes up to this line.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """Where the next line goes, and the settings that hold there."""

    chain: str
    num_lines: int
    torn: bytes
    settings: str | None


def _find_end(vault: Vault) -> _End:
    """Return where the next line goes.

    A line that a crash left beyond the tip is followed. A log that does not reach its tip is not: the next line follows
    the tip, so that the break stays to be found.
    """
    tip = audit_tip(vault)
    size_bytes = vault.reflog.stat().st_size if vault.reflog.exists() else 0
    if tip and size_bytes >= tip.size_bytes:
        beyond = read_journal(vault.reflog, offset=tip.size_bytes)
        chain, num_lines = _follow(tip.chain, beyond.lines), tip.num_lines + len(beyond.lines)
    else:
        beyond = read_journal(vault.reflog)
        chain, num_lines = tip.chain if tip else _follow(_GENESIS, beyond.lines), len(beyond.lines)
    settings = tip.settings if tip else _last_settings(vault)
    return _End(chain=chain, num_lines=num_lines, torn=beyond.torn, settings=settings)


def _last_settings(vault: Vault) -> str | None:
    changes = [entry.new for entry in read_entries(vault) if entry.ref == SETTINGS]
    return changes[-1] if changes else None


def _follow(chain: str, lines: Sequence[bytes]) -> str:
    """Return the chain value after the lines that follow `chain` unbroken."""
    for line in lines:
        entry = parse_entry(line)
        if entry is None or entry.chain != _chain_value(chain, _without_chain(line)):
            break
        chain = entry.chain
    return chain


def _chain_value(before: str, fields: dict[str, Any]) -> str:
    return digest_bytes(before.encode() + b"\n" + canonical_line(fields))


def _without_chain(line: bytes) -> dict[str, Any]:
    return {name: value for name, value in (parse_line(line) or {}).items() if name != "chain"}


def _tip_path(vault: Vault) -> Path:
    return vault.refs / "reflog-tip.json"


_HINT_TIP = (
    "Check the log with `verify_audit`; if its chain is whole, remove the file, and the next move writes it anew."
)
