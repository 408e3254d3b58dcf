"""What the commands of upkeep do and print."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from birdbone.cli import words
from birdbone.cli.vault.telling import busy
from birdbone.vault.folder import Vault
from birdbone.vault.refs.audit import AuditReport, verify_audit
from birdbone.vault.upkeep import Garbage, Verification, collect_garbage, verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found of the objects, and of the audit if that was asked for."""

    objects: Verification
    audit: AuditReport | None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged."""
        return self.objects.is_sound and (self.audit is None or self.audit.is_whole)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        audit = None if self.audit is None else {"is_whole": self.audit.is_whole, **asdict(self.audit)}
        return {"is_sound": self.is_sound, **asdict(self.objects), "audit": audit}

    def lines(self) -> list[str]:
        """Return it in lines."""
        found = self.objects
        lines = [f"{words.count(found.num_objects, 'object')}, {words.size(found.size_bytes)}: {self._objects_word()}"]
        lines += [f"  damaged: {digest}" for digest in found.corrupt]
        lines += [f"  {fault}" for fault in found.faults]
        if found.corrupt and found.set_aside:
            lines.append("They were set aside; put the same content again, and the store is whole.")
        return lines if self.audit is None else [*lines, *_audit_lines(self.audit)]

    def _objects_word(self) -> str:
        return "every byte is right" if self.objects.is_sound else "damaged"


def check_store(vault: Vault, *, set_aside: bool, has_audit: bool) -> Checked:
    """Return what reading every byte of the store, and the audit if `has_audit`, found."""
    with busy("reading every byte"):
        return Checked(objects=verify(vault, set_aside=set_aside), audit=verify_audit(vault) if has_audit else None)


def collect(vault: Vault, *, keep_days: float, grace_seconds: float, compress: bool, is_dry_run: bool) -> Garbage:
    """Return what nothing needs, removed unless `is_dry_run`. Raises what `collect_garbage` does."""
    with busy("looking for what nothing needs"):
        return collect_garbage(
            vault,
            dry_run=is_dry_run,
            grace_seconds=grace_seconds,
            keep_undone_days=keep_days,
            compress=compress,
        )


def garbage_words(found: Garbage) -> str:
    """Return what was or would be removed, in a line."""
    what = f"{words.count(found.num_objects, 'object')}, {words.size(found.size_bytes)}"
    return f"would free {what}" if found.dry_run else f"freed {what}"


def _audit_lines(audit: AuditReport) -> list[str]:
    state = "whole" if audit.is_whole else "broken"
    lines = [f"audit of {words.count(audit.num_lines, 'move')}: {state}"]
    lines += [f"  {f'line {fault.line}: ' if fault.line else ''}{fault.message}" for fault in audit.faults]
    if audit.cut_off:
        lines.append(f"  a crash cut off the last move of {', '.join(audit.cut_off)}; nothing is lost")
    return lines
