"""Overrides of failed gates: who let which rule through, on which file, and why. Written once, never changed.

They stand in the vault's audit, in the chain of its lines, so that none can be put in or taken out unseen. The verdict
itself is never touched: an override is shown beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from birdbone.vault import Vault
from birdbone.vault.folder import hold_lock
from birdbone.vault.journal import read_journal
from birdbone.vault.names import OVERRIDES
from birdbone.vault.refs.audit_log import AuditEntry, append_entry, parse_entry
from birdbone.vault.refs.permissions import identify


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One rule that failed and was let through."""

    rule: str
    """Name of the rule, with that of its floor."""
    author: str
    """Who let it through."""
    reason: str
    """Why."""
    step: str
    """Label of the step that judged."""
    artefact: str
    """Digest of the file that was judged; no other file is let through."""
    at: str
    """When, ISO 8601 in UTC."""

    @property
    def words(self) -> str:
        """It as a verdict shows it."""
        return f"{self.rule} overridden by {self.author}: {self.reason}"


def write_override(
    vault: Vault, run_id: str, *, rule: str, author: str | None, reason: str, step: str, artefact: str
) -> Override:
    """Write an override into the audit and return it as it stands there.

    Args:
        author: who decides; the name of the account unless given. Whoever may write to the vault may override.
    """
    detail = {"rule": rule, "step": step, "artefact": artefact}
    who = identify(author)
    with hold_lock(vault):
        append_entry(
            vault, ref=f"{OVERRIDES}{run_id}", old=None, new=None, author=who, reason=reason, detail={**detail}
        )
    return read_overrides(vault, run_id)[-1]


def read_overrides(vault: Vault, run_id: str) -> tuple[Override, ...]:
    """Return the overrides of a run, oldest first; none if the vault has no audit yet."""
    mark = f'"ref":"{OVERRIDES}{run_id}"'.encode()  # parsing every move of every ref would make a list of runs slow
    lines = (line for line in read_journal(vault.reflog).lines if mark in line)
    return tuple(_override(entry) for line in lines if (entry := parse_entry(line)) and entry.detail)


def overrides_of(overrides: Iterable[Override], *, step: str) -> tuple[Override, ...]:
    """Return the overrides of what one step judged."""
    return tuple(override for override in overrides if override.step == step)


def _override(entry: AuditEntry) -> Override:
    detail = entry.detail or {}
    return Override(
        rule=str(detail.get("rule", "")),
        author=entry.author,
        reason=entry.reason,
        step=str(detail.get("step", "")),
        artefact=str(detail.get("artefact", "")),
        at=entry.at,
    )
